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

ASK_ANSWER_S = 90.0
"""How long the answer to a request may take, code compiled and one retry included, before it counts as refused."""
SEND_ANSWER_S = 900.0
"""How long sending the code may take in all; that it does not stand still is seen to where it is sent."""
RELEASE_ANSWER_S = 30.0
"""How long a release may go unacknowledged; the lease then runs out by itself."""


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
        (State.SERVING, Step.LAPSED): State.ENDED,
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
    request_id: str


class Poll(msgspec.Struct, frozen=True):
    """Effect: ask for the meter reading of a lease, and for another term if ``renew``."""

    service: ServiceId
    site: NodeId
    request_id: str
    lease_id: str
    renew: bool


class Release(msgspec.Struct, frozen=True):
    """Effect: end a lease, with the reason."""

    service: ServiceId
    site: NodeId
    request_id: str
    lease_id: str
    reason: str


SwitchEffect = Ask | Send | Poll | Release


class LeaseAnswered(msgspec.Struct, frozen=True):
    """Event: the site answered the request: it granted a lease, asked for the artifact, or refused with a reason.

    Not reaching it counts as ``refused``, with ``unreached`` set.
    """

    lease: Lease | None = None
    needs_artifact: bool = False
    refused: str | None = None
    unreached: bool = False


class ArtifactSent(msgspec.Struct, frozen=True):
    """Event: the artifact arrived whole (``failed`` None), or why it did not."""

    failed: str | None = None


class PollAnswered(msgspec.Struct, frozen=True):
    """Event: the copy is there. ``lease`` is the new term if one was asked for; ``ending`` the site's wish to end.

    ``shared`` says that another customer is told the same and passes it on.
    """

    observations: tuple[Observation, ...] = ()
    lease: Lease | None = None
    ending: str | None = None
    shared: bool = False


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

_RUNNING = (State.SERVING, State.SUSPECT)
_AWAITED_IN: dict[type[SwitchEvent], tuple[State, ...]] = {
    LeaseAnswered: (State.ASKING, State.RETIRING),
    ArtifactSent: (State.SENDING, State.RETIRING),
    PollAnswered: _RUNNING,
    PollFailed: _RUNNING,
    RetireWanted: (State.ASKING, State.SENDING, *_RUNNING),
    LeaseReleased: (State.RETIRING,),
}


class Switch:
    """The customer's side of one copy (sans-IO). Its effects carry ``request_id``, by which answers are told from those
    meant for an earlier copy at the same site; every answer that does not come has a time after which it is given up.
    """

    def __init__(self, service: ServiceId, site: NodeId, now: float) -> None:
        self.service = service
        self.site = site
        self.request_id = f"{service} {now:.6f}"
        self.state = State.ASKING
        self.asked_at = now
        self.serving_since: float | None = None
        self.lease: Lease | None = None
        self.cold = False
        self.unreached = False
        self.end_reason: str | None = None
        self.silence: str | None = None
        """Why the last poll failed, None once one was answered."""
        self._heard_at = now
        self._not_renewed = False
        self._due_at = now + ASK_ANSWER_S

    @classmethod
    def resumed(cls, service: ServiceId, lease: Lease, now: float) -> "Switch":
        """A copy remembered from before a restart: under suspicion until it is heard of."""
        switch = cls(service, lease.provider_node, now)
        switch.state = State.SUSPECT
        switch.lease = lease
        switch._due_at = now
        return switch

    def start(self) -> list[SwitchEffect]:
        """The effects that set the switch going."""
        return [Ask(self.service, self.site, self.request_id)] if self.state is State.ASKING else []

    @property
    def usable_until(self) -> float | None:
        """Until when users may be sent to the copy, or None if they may not."""
        return self.lease.ends_at if self.state is State.SERVING and self.lease is not None else None

    def receive(self, event: SwitchEvent, now: float) -> list[SwitchEffect]:
        """Take one event. An answer that nobody waits for in the present state changes nothing."""
        if self.state not in _AWAITED_IN[type(event)]:
            return self._late(event)
        match event:
            case LeaseAnswered():
                return self._lease_answered(event, now)
            case ArtifactSent():
                return self._artifact_sent(event, now)
            case PollAnswered():
                return self._poll_answered(event, now)
            case PollFailed():
                return self._poll_failed(event, now)
            case RetireWanted():
                return self._retire(event.reason, now)
            case LeaseReleased():
                self._step(Step.RELEASED)
                return []

    def wake(self, now: float) -> list[SwitchEffect]:
        """Poll when it is time; give up what was not answered, and end when lease and grace have run out."""
        if self.state is State.ENDED or now < self._due_at:
            return []
        if self.state in (State.ASKING, State.SENDING):
            self._end(Step.REFUSED, "it did not answer in time")
        elif self.state is State.RETIRING:
            self._step(Step.RELEASED)
        elif self.lease is not None and not self._ran_out(self.lease, now):
            return [self._poll(self.lease, now)]
        return []

    def stood_still(self, seconds: float) -> None:
        """This site did nothing for so long: what was not heard meanwhile is not held against the other."""
        self._heard_at += seconds
        if self.state not in _RUNNING:
            self._due_at += seconds

    def next_deadline(self) -> float | None:
        """When :meth:`wake` has something to do."""
        return self._due_at if self.state is not State.ENDED else None

    def _step(self, step: Step) -> None:
        self.state = TABLE.next(self.state, step)

    def _end(self, step: Step, reason: str) -> None:
        self.end_reason = reason
        self._step(step)

    def _ran_out(self, lease: Lease, now: float) -> bool:
        """Whether the lease is over: at its end if the copy was heard of since, otherwise only after its grace."""
        if self.state is State.SERVING and self._not_renewed:
            self._end(Step.LAPSED, "it answers, but did not renew its lease before it ran out")
        elif now > lease.ends_at + min(lease.grace_s, LEASE_GRACE_S):
            self._end(Step.LAPSED, "not heard of until its lease and grace ran out")
        return self.state is State.ENDED

    def _poll(self, lease: Lease, now: float) -> Poll:
        if self.state is State.SERVING and now - self._heard_at >= 2 * SILENT_AFTER_S:
            self._step(Step.SILENT)  # not even a failure came back
        self._due_at = now + POLL_INTERVAL_S * (1 if self.state is State.SERVING else 2)
        renew = self.state is State.SUSPECT or now > (lease.starts_at + lease.ends_at) / 2
        return Poll(self.service, self.site, self.request_id, lease.lease_id, renew)

    def _lease_answered(self, event: LeaseAnswered, now: float) -> list[SwitchEffect]:
        if self.state is State.RETIRING:
            # The copy was given up while the request was on its way: end what was granted, if anything was.
            if event.lease is not None:
                self.lease = event.lease
                return [self._release(event.lease, now)]
            self._step(Step.RELEASED)
            return []
        if event.lease is not None:
            self._step(Step.GRANTED)
            self.lease = event.lease
            self.serving_since = self._heard_at = now
            self._due_at = now + POLL_INTERVAL_S
            return []
        if event.needs_artifact and not self.cold:
            self._step(Step.NEEDS_ARTIFACT)
            self.cold = True
            self._due_at = now + SEND_ANSWER_S
            return [Send(self.service, self.site, self.request_id)]
        self.unreached = event.unreached
        self._end(Step.REFUSED, event.refused or "asked again for an artifact it was sent")
        return []

    def _artifact_sent(self, event: ArtifactSent, now: float) -> list[SwitchEffect]:
        if self.state is State.RETIRING:
            self._step(Step.RELEASED)
            return []
        if event.failed is not None:
            self._end(Step.REFUSED, event.failed)
            return []
        self._step(Step.SENT)
        self._due_at = now + ASK_ANSWER_S
        return self.start()

    def _poll_answered(self, event: PollAnswered, now: float) -> list[SwitchEffect]:
        self._step(Step.HEARD)
        self._heard_at = now
        self.silence = None
        if self.serving_since is None:
            self.serving_since = now
        self._due_at = min(self._due_at, now + POLL_INTERVAL_S)
        if event.lease is not None and (self.lease is None or event.lease.ends_at > self.lease.ends_at):
            self.lease = event.lease
        self._not_renewed = self.lease is not None and now > self.lease.ends_at
        return self._retire(f"the site is ending it: {event.ending}", now) if event.ending else []

    def _poll_failed(self, event: PollFailed, now: float) -> list[SwitchEffect]:
        self.silence = event.reason
        if event.gone:
            self._end(Step.GONE, event.reason)
        elif self.state is State.SERVING and now - self._heard_at >= SILENT_AFTER_S:
            self._step(Step.SILENT)
        return []

    def _retire(self, reason: str, now: float) -> list[SwitchEffect]:
        self._end(Step.RETIRE, reason)
        if self.lease is None:
            return []  # the answer still on its way decides what there is to release
        return [self._release(self.lease, now)]

    def _release(self, lease: Lease, now: float) -> Release:
        self._due_at = now + RELEASE_ANSWER_S
        reason = self.end_reason or "no longer wanted"
        return Release(self.service, self.site, self.request_id, lease.lease_id, reason)

    def _late(self, event: SwitchEvent) -> list[SwitchEffect]:
        """A lease nobody waits for is given back, unless it is the very one we have."""
        if isinstance(event, LeaseAnswered) and event.lease is not None:
            if self.lease is not None and self.lease.lease_id == event.lease.lease_id:
                return []
            reason = self.end_reason or "no longer wanted"
            return [Release(self.service, self.site, self.request_id, event.lease.lease_id, reason)]
        return []
