"""One request on its way through a guest: what the guest is given, and what it has said so far."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from footloose.core.limits import GUEST_LOG_BYTES
from footloose.model.guest import Exchange, Gone, GuestFault
from footloose.runtimes.wasm.memory import GuestMemory, OutOfBounds
from footloose.runtimes.wasm.ticker import Allowance

T = TypeVar("T")


class Stop(Exception):
    """Raised by a host function to end the guest: it is done (``fault`` None) or has broken a rule."""

    def __init__(self, fault: GuestFault | None, detail: str = "") -> None:
        self.fault = fault
        self.detail = detail
        super().__init__(detail)


class Call:
    """The state of one call, shared with the host functions. Belongs to one thread."""

    __slots__ = (
        "_exchange",
        "allowance",
        "body",
        "body_read",
        "bug",
        "closed",
        "environment",
        "log",
        "output",
        "output_limit",
        "rearm",
        "stop",
        "written_bytes",
    )

    def __init__(
        self, environment: Sequence[bytes], body: bytes, output_limit: int, exchange: Exchange | None = None
    ) -> None:
        self._exchange = exchange
        self.allowance: Allowance | None = None
        """Its time, for a call that may wait."""
        self.rearm = 0
        """Ticks from now after which it is to be stopped, where a wait has moved that; whoever runs it resets it."""
        self.written_bytes = 0
        self.environment = environment
        """``NAME=VALUE``, for guests that ask for it."""
        self.body = body
        self.body_read = 0
        self.output = bytearray()
        self.output_limit = output_limit
        self.log = bytearray()
        self.closed: frozenset[int] = frozenset()
        """Descriptors the guest has closed."""
        self.stop: Stop | None = None
        """Why a host function ended the guest."""
        self.bug: BaseException | None = None
        """An exception of our own that escaped a host function; raised again once the guest is out of the way."""

    def append_log(self, memory: GuestMemory, at: int, length: int) -> None:
        """Add to the log what still fits. Raises :class:`OutOfBounds`."""
        if length > memory.size - at:
            raise OutOfBounds
        self.log += memory.read(at, min(length, self.log_room()))

    def log_room(self) -> int:
        """Bytes the log still takes."""
        return GUEST_LOG_BYTES - len(self.log)

    def append_output(self, memory: GuestMemory, at: int, length: int) -> None:
        """Add to the output. Raises :class:`OutOfBounds`; :class:`Stop` where it grows larger than allowed."""
        if self.written_bytes + length > self.output_limit:
            raise Stop(GuestFault.OUTPUT, f"more than {self.output_limit} bytes")
        data = memory.read(at, length)
        self.written_bytes += length
        if self._exchange is None:
            self.output += data
        else:
            self._wait(lambda exchange: exchange.write(data))

    def read_body(self, most: int) -> bytes:
        """The next bytes of the body; none at its end."""
        if self._exchange is not None:
            return self._wait(lambda exchange: exchange.read(most))
        piece = self.body[self.body_read : self.body_read + most]
        self.body_read += len(piece)
        return piece

    def sleep(self, seconds: float) -> None:
        """Let the guest wait. Raises :class:`Stop` where that cannot be."""
        self._wait(lambda exchange: exchange.sleep(seconds))

    def _wait(self, what: Callable[[Exchange], T]) -> T:
        if self._exchange is None or self.allowance is None:
            raise Stop(GuestFault.WAITS)
        if not self.allowance.pause():
            raise Stop(GuestFault.TIME, "its time is up")
        try:
            return what(self._exchange)
        except Gone:
            raise Stop(None) from None
        finally:
            self.rearm = self.allowance.resume()


class HostFunction(msgspec.Struct, frozen=True):
    """A function guests may import. ``parameters`` and ``results`` list value types: ``i`` is i32, ``I`` is i64.

    ``run`` gets the call, the guest's memory and the parameters as unsigned numbers, and returns the result.
    ``out_of_bounds`` is the result where the guest named memory it does not have; None makes that a trap.
    """

    parameters: str
    results: str
    run: Callable[..., int | None]
    out_of_bounds: int | None = None


def enter_host(function: HostFunction, call: Call, memory: GuestMemory, parameters: tuple[int, ...]) -> int:
    """Run a host function. Where it ends the guest, ``call.stop`` says so and every later call does nothing."""
    if call.stop is not None:
        return 0
    try:
        return function.run(call, memory, *parameters) or 0
    except OutOfBounds:
        if function.out_of_bounds is not None:
            return function.out_of_bounds
        call.stop = Stop(GuestFault.TRAP, "a host function was given memory the guest does not have")
    except Stop as stop:
        call.stop = stop
    return 0
