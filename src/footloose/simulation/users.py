"""A user in virtual time: asks where it was served last, and at home if that fails; follows redirects."""

from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from footloose.model.app import ServiceId
from footloose.simulation.engine import Engine
from footloose.simulation.gateway import UserAnswer, UserRequest
from footloose.simulation.internet import Internet, Reply

FOLLOWED = 10
"""Redirects one request follows, fewer than any browser."""
_TIMEOUT_S = 5.0
_ASKED_BYTES = 500


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
    """One user of one service, whose home is at the address ``home``. ``troubled`` is told of each failed request."""

    def __init__(
        self,
        name: str,
        place: int,
        address: str,
        service: ServiceId,
        home: str,
        every_s: float,
        engine: Engine,
        internet: Internet,
        rtt_ms: Callable[[int, str], float],
        troubled: Callable[["User", Trouble], None],
    ) -> None:
        self.name = name
        self.place = place
        self.address = address
        self.number = internet.add(address)
        self.service = service
        self.home = home
        self.at = home
        self.served: Served | None = None
        self.requests = 0
        self.errors = 0
        self.active = False
        self.every_s = every_s
        self._engine = engine
        self._internet = internet
        self._rtt_ms = rtt_ms
        self._troubled = troubled

    def begin(self, after_s: float) -> None:
        """Use the service from then on."""
        self.active = True
        self._engine.after(after_s, self._again)

    def end(self) -> None:
        """Use it no more."""
        self.active = False

    def _again(self, _: object) -> None:
        if self.active:
            self.requests += 1
            self._ask(self.at, (self.at,))
            self._engine.after(self.every_s, self._again)

    def _ask(self, address: str, way: tuple[str, ...]) -> None:
        asked = UserRequest(self.address, f"/{self.service}/", address, self._rtt_ms(self.place, address))
        self._internet.ask(
            self.number,
            (address, 80),
            asked,
            size_bytes=_ASKED_BYTES,
            timeout_s=_TIMEOUT_S,
            done=lambda reply: self._answered(reply, way),
        )

    def _answered(self, reply: Reply, way: tuple[str, ...]) -> None:
        if reply.failure:
            self._failed(reply.failure, way)
            return
        answer: UserAnswer = reply.answer
        if answer.location:
            host = urlsplit(answer.location).hostname or ""
            if len(way) > FOLLOWED:
                self._failed("too many redirects", way)
            else:
                self._ask(host, (*way, host))
        elif answer.status == 200:
            self.at = way[-1]
            self.served = Served(self._engine.now, way[-1])
        else:
            self._failed(f"status {answer.status}", way)

    def _failed(self, why: str, way: tuple[str, ...]) -> None:
        self.errors += 1
        self._troubled(self, Trouble(self._engine.now, why, way))
        if way[0] != self.home:
            self._ask(self.home, (self.home,))
