"""One copy of one service at another site, as its customer sees it: asked, (code sent), serving, ended.

A switch is *hot* if the site has the code and *cold* if it has to be sent first; sending users to a copy that already
serves is *direct* and needs no switch (the three cases of the ICON Python Orchestrator thesis, §4).
While a switch is under way the old site serves.
"""

from enum import Enum

import msgspec

from footloose.core.identity import NodeId
from footloose.core.limits import LEASE_GRACE_S, POLL_INTERVAL_S, SILENT_AFTER_S
from footloose.core.table import TransitionTable
from footloose.model.app import ServiceId
from footloose.model.network import Observation
from footloose.model.terms import Lease


class State(Enum):
    """Where a switch stands."""

    ASKING = "asking"
    SENDING = "sending"
    SERVING = "serving"
    SUSPECT = "suspect"
    RETIRING = "retiring"
    ENDED = "ended"


class Step(Enum):
    """What can happen to a switch."""

    NEEDS_ARTIFACT = "needs_artifact"
    SENT = "sent"
    GRANTED = "granted"
    REFUSED = "refused"
    HEARD = "heard"
    SILENT = "silent"
    LAPSED = "lapsed"
    RETIRE = "retire"
    GONE = "gone"
    RELEASED = "released"


TABLE = TransitionTable(
    "switch",
    {
        (State.ASKING, Step.NEEDS_ARTIFACT): State.SENDING,
        (State.ASKING, Step.GRANTED): State.SERVING,
        (State.ASKING, Step.REFUSED): State.ENDED,
        (State.ASKING, Step.RETIRE): State.RETIRING,
        (State.SENDING, Step.SENT): State.ASKING,
        (State.SENDING, Step.REFUSED): State.ENDED,
        (State.SENDING, Step.RETIRE): State.RETIRING,
        (State.SERVING, Step.HEARD): State.SERVING,
        (State.SERVING, Step.SILENT): State.SUSPECT,
        (State.SERVING, Step.RETIRE): State.RETIRING,
        (State.SERVING, Step.GONE): State.ENDED,
        (State.SUSPECT, Step.HEARD): State.SERVING,
        (State.SUSPECT, Step.LAPSED): State.ENDED,
        (State.SUSPECT, Step.RETIRE): State.RETIRING,
        (State.SUSPECT, Step.GONE): State.ENDED,
        (State.RETIRING, Step.RELEASED): State.ENDED,
    },
)


class Ask(msgspec.Struct, frozen=True):
    """Effect: ask ``site`` for a lease. The same ``request_id`` gets the same lease, however often it is asked."""

    service: ServiceId
    site: NodeId
    request_id: str


class Send(msgspec.Struct, frozen=True):
    """Effect: send the service's artifact to ``site``."""

    service: ServiceId
    site: NodeId


class Poll(msgspec.Struct, frozen=True):
    """Effect: ask for the meter reading of a lease, and for another term if ``renew``."""

    service: ServiceId
    site: NodeId
    lease_id: str
    renew: bool


class Release(msgspec.Struct, frozen=True):
    """Effect: end a lease, with the reason."""

    service: ServiceId
    site: NodeId
    lease_id: str
    reason: str


SwitchEffect = Ask | Send | Poll | Release


class LeaseAnswered(msgspec.Struct, frozen=True):
    """Event: the site answered the request; exactly one field is set. Not reaching it counts as ``refused``."""

    lease: Lease | None = None
    needs_artifact: bool = False
    refused: str | None = None


class ArtifactSent(msgspec.Struct, frozen=True):
    """Event: the artifact arrived whole (``failed`` None), or why it did not."""

    failed: str | None = None


class PollAnswered(msgspec.Struct, frozen=True):
    """Event: the copy is there. ``lease`` is the new term if one was asked for; ``ending`` the site's wish to end."""

    observations: tuple[Observation, ...] = ()
    lease: Lease | None = None
    ending: str | None = None


class PollFailed(msgspec.Struct, frozen=True):
    """Event: no answer (``gone`` False), or the site no longer knows the lease (``gone`` True)."""

    reason: str
    gone: bool = False


class RetireWanted(msgspec.Struct, frozen=True):
    """Event: the loop no longer wants this copy."""

    reason: str


class LeaseReleased(msgspec.Struct, frozen=True):
    """Event: the release was acknowledged, or given up (the lease then runs out by itself)."""


SwitchEvent = LeaseAnswered | ArtifactSent | PollAnswered | PollFailed | RetireWanted | LeaseReleased


class Switch:
    """The customer's side of one copy (sans-IO)."""

    def __init__(self, service: ServiceId, site: NodeId, now: float) -> None:
        self.service = service
        self.site = site
        self.state = State.ASKING
        self.asked_at = now
        self.serving_since: float | None = None
        self.lease: Lease | None = None
        self.cold = False
        self.end_reason: str | None = None
        self._request_id = f"{service} {now:.6f}"
        self._heard_at = now
        self._poll_at: float | None = None

    @classmethod
    def resumed(cls, service: ServiceId, lease: Lease, now: float) -> "Switch":
        """A copy remembered from before a restart: under suspicion until it is heard of."""
        switch = cls(service, lease.provider_node, now)
        switch.state = State.SUSPECT
        switch.lease = lease
        switch._poll_at = now
        return switch

    def start(self) -> list[SwitchEffect]:
        """The effects that set the switch going."""
        return [Ask(self.service, self.site, self._request_id)] if self.state is State.ASKING else []

    @property
    def usable_until(self) -> float | None:
        """Until when users may be sent to the copy, or None if they may not."""
        return self.lease.ends_at if self.state is State.SERVING and self.lease is not None else None

    def receive(self, event: SwitchEvent, now: float) -> list[SwitchEffect]:
        """Take one event. Answers that arrive after the end are of no account."""
        if self.state is State.ENDED:
            return self._late(event)
        match event:
            case LeaseAnswered():
                return self._lease_answered(event, now)
            case ArtifactSent():
                return self._artifact_sent(event)
            case PollAnswered():
                return self._poll_answered(event, now)
            case PollFailed():
                return self._poll_failed(event, now)
            case RetireWanted():
                return self._retire(event.reason)
            case LeaseReleased():
                self._step(Step.RELEASED)
                return []

    def wake(self, now: float) -> list[SwitchEffect]:
        """Poll when it is time; end when lease and grace have run out."""
        if self.lease is None or self._poll_at is None or now < self._poll_at:
            return []
        if self.state is State.SUSPECT and now > self.lease.ends_at + LEASE_GRACE_S:
            self.end_reason = "not heard of until its lease and grace ran out"
            self._step(Step.LAPSED)
            return []
        if self.state not in (State.SERVING, State.SUSPECT):
            return []
        self._poll_at = now + POLL_INTERVAL_S * (1 if self.state is State.SERVING else 2)
        term_s = self.lease.ends_at - self.lease.starts_at
        renew = self.state is State.SUSPECT or now > self.lease.ends_at - term_s / 2
        return [Poll(self.service, self.site, self.lease.lease_id, renew)]

    def next_deadline(self) -> float | None:
        """When :meth:`wake` has something to do."""
        return self._poll_at if self.state in (State.SERVING, State.SUSPECT) else None

    def _step(self, step: Step) -> None:
        self.state = TABLE.next(self.state, step)

    def _lease_answered(self, event: LeaseAnswered, now: float) -> list[SwitchEffect]:
        if self.state is State.RETIRING:
            # The copy was given up while the request was on its way: end what was granted, if anything was.
            if event.lease is not None:
                return [Release(self.service, self.site, event.lease.lease_id, self.end_reason or "no longer wanted")]
            self._step(Step.RELEASED)
            return []
        if event.lease is not None:
            self.lease = event.lease
            self.serving_since = self._heard_at = now
            self._poll_at = now + POLL_INTERVAL_S
            self._step(Step.GRANTED)
            return []
        if event.needs_artifact and not self.cold:
            self.cold = True
            self._step(Step.NEEDS_ARTIFACT)
            return [Send(self.service, self.site)]
        self.end_reason = event.refused or "asked again for an artifact it was sent"
        self._step(Step.REFUSED)
        return []

    def _artifact_sent(self, event: ArtifactSent) -> list[SwitchEffect]:
        if self.state is State.RETIRING:
            self._step(Step.RELEASED)
            return []
        if event.failed is not None:
            self.end_reason = event.failed
            self._step(Step.REFUSED)
            return []
        self._step(Step.SENT)
        return [Ask(self.service, self.site, self._request_id)]

    def _poll_answered(self, event: PollAnswered, now: float) -> list[SwitchEffect]:
        if self.state is State.RETIRING:
            return []
        self._heard_at = now
        self._step(Step.HEARD)
        if self.serving_since is None:
            self.serving_since = now
        self._poll_at = min(self._poll_at or now, now + POLL_INTERVAL_S)
        if event.lease is not None:
            self.lease = event.lease
        return self._retire(f"the site is ending it: {event.ending}") if event.ending else []

    def _poll_failed(self, event: PollFailed, now: float) -> list[SwitchEffect]:
        if self.state is State.RETIRING:
            return []
        if event.gone:
            self.end_reason = event.reason
            self._step(Step.GONE)
        elif self.state is State.SERVING and now - self._heard_at >= SILENT_AFTER_S:
            self._step(Step.SILENT)
        return []

    def _retire(self, reason: str) -> list[SwitchEffect]:
        if self.state is State.RETIRING:
            return []
        self.end_reason = reason
        self._step(Step.RETIRE)
        if self.lease is None:
            return []  # the answer still on its way decides what there is to release
        return [Release(self.service, self.site, self.lease.lease_id, reason)]

    def _late(self, event: SwitchEvent) -> list[SwitchEffect]:
        if isinstance(event, LeaseAnswered) and event.lease is not None:
            return [Release(self.service, self.site, event.lease.lease_id, self.end_reason or "no longer wanted")]
        return []
