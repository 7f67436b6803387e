"""Random changes to what a site agreed to run, and by a model of a few lines what must be left of them."""

from collections.abc import Iterator
from functools import cache
from random import Random

import msgspec
import state_facts as facts

from footloose.core.codec import Signed
from footloose.core.errors import LocalError
from footloose.core.identity import NodeId
from footloose.model.app import App, ServiceId
from footloose.model.terms import LeaseRequest
from footloose.state.intent import Intent
from footloose.state.leases import Side
from footloose.state.orders import Ordered
from footloose.state.volume import Volume

ENDED_KEPT = 2
State = dict[str, object]
"""What is kept: a value for each thing, by its name."""


class Change(msgspec.Struct, frozen=True):
    """One thing that is done to a site's intent: ``what`` to the ``number``-th of its kind, at ``time``."""

    what: str
    number: int
    time: int

    @property
    def durable(self) -> bool:
        return self.what != "renew"


WHAT = ("app", "remove app", "lease", "renew", "notice", "end", "move", "drain", "two orders")


def changes(random: Random, count: int) -> list[Change]:
    """A script."""
    return [Change(random.choice(WHAT), random.randrange(3), time) for time in range(1, count + 1)]


@cache
def an_app(number: int, version: int) -> Signed:
    return facts.app(f"app{number}", version)


@cache
def a_lease(number: int, time: int) -> Signed:
    return facts.lease(number, starts_at=facts.NOW + time)


@cache
def a_request(number: int) -> LeaseRequest:
    return facts.request(number)


def side_of(number: int) -> Side:
    return Side.CUSTOMER if number == 2 else Side.PROVIDER


def carry_out(change: Change, intent: Intent) -> None:
    """Do it. Raises :class:`LocalError` if it could not be written."""
    number, time, side = change.number, change.time, side_of(change.number)
    lease_id = f"lease-{number}"
    standing = intent.leases.get(side, lease_id)
    open_ = standing is not None and standing.ended_at is None
    match change.what:
        case "app":
            intent.apps.put(an_app(number, time), facts.NOW + time)
        case "remove app":
            intent.apps.remove(App(f"app{number}", facts.OWNER.node_id, ()).app_id)
        case "lease" if standing is None:
            intent.leases.put(side, a_lease(number, time), a_request(number), state="active")
        case "renew" if open_:
            intent.leases.put(side, a_lease(number, time), a_request(number), state="active", durable=False)
        case "notice" if open_:
            signed = a_lease(number, time)
            intent.leases.put(side, signed, a_request(number), state="ending", ending="x", ends_by=float(time))
        case "end":
            intent.leases.end(side, lease_id, f"at {time}", float(time))
        case "move":
            intent.orders.move(ServiceId(f"a/{number}"), NodeId(f"site {time}") if time % 2 else None)
        case "drain":
            intent.orders.drain(f"at {time}" if time % 2 else None)
        case "two orders":
            intent.promise(Ordered("avoid", f"one {number}", str(time)), Ordered("avoid", f"two {number}", str(time)))


def after(change: Change, before: State) -> State:
    """What must be kept after it."""
    state, number, time = dict(before), change.number, change.time
    lease = f"lease {number}"
    standing = state.get(lease)
    is_open = isinstance(standing, tuple) and standing[3] is None
    match change.what:
        case "app":
            state[f"app {number}"] = time
        case "remove app":
            state.pop(f"app {number}", None)
        case "lease" if standing is None:
            state[lease] = ("active", facts.NOW + time, None, None)
        case "renew" if is_open:
            state[lease] = ("active", facts.NOW + time, None, None)
        case "notice" if is_open:
            state[lease] = ("ending", facts.NOW + time, "x", None)
        case "end" if isinstance(standing, tuple) and is_open:
            state[lease] = ("ended", standing[1], f"at {time}", float(time))
        case "move" if time % 2:
            state[f"move a/{number}"] = f"site {time}"
        case "move":
            state.pop(f"move a/{number}", None)
        case "drain" if time % 2:
            state["drain"] = f"at {time}"
        case "drain":
            state.pop("drain", None)
        case "two orders":
            state[f"avoid one {number}"] = state[f"avoid two {number}"] = True
    return state


def kept(intent: Intent) -> State:
    """What is kept, as the model has it."""
    state: State = {}
    for app in intent.apps.list():
        state[f"app {app.app.name.removeprefix('app')}"] = app.app.version
    for side in Side:
        for one in (*intent.leases.open(side), *intent.leases.ended(side)):
            number = one.lease.lease_id.removeprefix("lease-")
            state[f"lease {number}"] = (one.state, one.lease.starts_at, one.ending, one.ended_at)
            assert one.request == a_request(int(number))
            assert one == intent.leases.by_request(side, facts.CUSTOMER.node_id, one.request.request_id)
    for number in range(3):
        site = intent.orders.moved_to(ServiceId(f"a/{number}"))
        if site is not None:
            state[f"move a/{number}"] = site
    for node in intent.orders.avoided():
        state[f"avoid {node}"] = True
    if intent.orders.draining() is not None:
        state["drain"] = intent.orders.draining()
    return state


class Run:
    """Carries out a script, and knows what may be left if it ends now: states from ``promised`` to ``begun``."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self.states: list[State] = [{}]
        self.promised = self.begun = 0
        self.refused: list[State] = []
        """What would have been kept had it not been refused: may come back, if the crash is before the next change."""
        self.refusals = 0

    def carry_out(self, script: list[Change]) -> Iterator[Change]:
        """Each change that was acknowledged, until the end or whatever the volume raises."""
        intent = Intent(self._volume)
        assert kept(intent) == self.states[-1]
        for change in script:
            self.states.append(after(change, self.states[-1]))
            self.begun = len(self.states) - 1
            try:
                carry_out(change, intent)
            except LocalError:
                self.refusals += 1
                self.refused.append(self.states[-1])
                self.states[-1] = self.states[-2]
            if self.states[-1] != self.states[-2]:
                self.refused.clear()
                self.promised = self.begun if change.durable else self.promised
            assert kept(intent) == self.states[-1]
            yield change

    def check(self, volume: Volume) -> State:
        """Start again after a crash: nothing acknowledged is lost, nothing is there in part; goes on from that."""
        state = kept(Intent(volume))
        allowed = self.states[self.promised : self.begun + 1] + self.refused
        assert state in allowed, f"{state} is none of {allowed}"
        self.states, self.promised, self.begun, self.refused = [state], 0, 0, []
        return state
