"""A user in virtual time: asks where it was served last, and at home if that fails; follows redirects.

One with a WebSocket keeps it open and sends messages on it. Told to move, it opens another where it was told, and only
then lets go of the first.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from footloose.model.app import ServiceId
from footloose.simulation.engine import Engine
from footloose.simulation.gateway import Kind, UserAnswer, UserRequest
from footloose.simulation.internet import Internet, Reply

FOLLOWED = 10
"""Redirects one request follows, fewer than any browser."""
_TIMEOUT_S = 5.0
_ASKED_BYTES = 500
_OK = 200


class Served(msgspec.Struct, frozen=True):
    """A request that was answered: when, and at which address."""

    at_s: float
    address: str


class Trouble(msgspec.Struct, frozen=True):
    """A request that was not, and why. ``way`` is where it was sent on the way."""

    at_s: float
    why: str
    way: tuple[str, ...]


class User:
    """One user of one service, whose home is at the address ``home``. ``troubled`` is told of each failed request.

    ``rtt_ms`` says how far a site is from an address of the user's.
    """

    def __init__(
        self,
        name: str,
        service: ServiceId,
        home: str,
        every_s: float,
        engine: Engine,
        internet: Internet,
        rtt_ms: Callable[[str, str], float],
        troubled: Callable[["User", Trouble], None],
        *,
        websocket: bool = False,
    ) -> None:
        self.name = name
        self.service = service
        self.home = home
        self.at = home
        self.every_s = every_s
        self.place = 0
        self.address = ""
        self.number = 0
        self.arrived_s = 0.0
        """When it came to where it is now."""
        self.served: Served | None = None
        self.requests = 0
        self.errors = 0
        self.active = False
        self._kind = Kind.MESSAGE if websocket else Kind.REQUEST
        self._engine = engine
        self._internet = internet
        self._rtt_ms = rtt_ms
        self._troubled = troubled

    def stand(self, place: int, address: str, number: int) -> None:
        """Be at ``place`` from now on, with another address; an open WebSocket does not outlast that."""
        self._hang_up(self.at)
        self.place, self.address, self.number, self.arrived_s = place, address, number, self._engine.now

    def begin(self, after_s: float) -> None:
        """Use the service from then on."""
        self.active = True
        self._engine.after(after_s, self._again)

    def end(self, _: object = None) -> None:
        """Use it no more."""
        self.active = False
        self._hang_up(self.at)

    def _again(self, _: object) -> None:
        if self.active:
            self.requests += 1
            self._ask(self.at, (self.at,))
            self._engine.after(self.every_s, self._again)

    def _ask(self, address: str, way: tuple[str, ...]) -> None:
        self._send(self._kind, address, lambda reply: self._answered(reply, way))

    def _send(self, kind: Kind, address: str, done: Callable[[Reply], object]) -> None:
        rtt_ms = self._rtt_ms(self.address, address)
        asked = UserRequest(kind, self.name, self.address, f"/{self.service}/", address, rtt_ms)
        self._internet.ask(self.number, (address, 80), asked, size_bytes=_ASKED_BYTES, timeout_s=_TIMEOUT_S, done=done)

    def _hang_up(self, address: str) -> None:
        if self._kind is Kind.MESSAGE and self.address:
            self._send(Kind.CLOSE, address, lambda _: None)

    def _answered(self, reply: Reply, way: tuple[str, ...]) -> None:
        if not self.active:
            return
        if reply.failure:
            self._failed(reply.failure, way)
            return
        answer: UserAnswer = reply.answer
        if answer.status == _OK:
            self._was_served(way[-1])
        if answer.location:
            self._follow(answer, way)
        elif answer.status != _OK:
            self._failed(f"status {answer.status}", way)

    def _follow(self, answer: UserAnswer, way: tuple[str, ...]) -> None:
        host = urlsplit(answer.location).hostname or ""
        if len(way) <= FOLLOWED:
            self._ask(host, (*way, host))
        elif answer.status != _OK:
            self._failed("too many redirects", way)

    def _was_served(self, address: str) -> None:
        if address != self.at:
            self._hang_up(self.at)
        self.at = address
        self.served = Served(self._engine.now, address)

    def _failed(self, why: str, way: tuple[str, ...]) -> None:
        self.errors += 1
        self._troubled(self, Trouble(self._engine.now, why, way))
        if way[0] != self.home:
            self._ask(self.home, (self.home,))
