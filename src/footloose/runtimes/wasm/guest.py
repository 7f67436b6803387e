"""How a request goes through an instance, whichever path runs it, and what each kind of failure is called."""

from collections.abc import Sequence

import wasmtime

from footloose.core.errors import LocalError
from footloose.core.limits import GUEST_MEMORY_MOST_BYTES
from footloose.model.app import GuestKind, Limits
from footloose.model.guest import Exchange, GuestAnswer, GuestError, GuestFault
from footloose.runtimes.wasm.call import Call
from footloose.runtimes.wasm.instance import Instance, LinkedModule, Trapped
from footloose.runtimes.wasm.memory import OutOfBounds
from footloose.runtimes.wasm.request import environment_of, scgi_of
from footloose.runtimes.wasm.ticker import Allowance, Ticker, ticks_for
from footloose.runtimes.wasm.warm import Resting, WarmInstances


class WasmGuest:
    """A loaded module, ready to answer (:class:`footloose.model.guest.Guest`). Calls may come from many threads."""

    def __init__(
        self, module: LinkedModule, kind: GuestKind, limits: Limits, ticker: Ticker, warm: WarmInstances | None = None
    ) -> None:
        self._module = module
        self._warm = warm
        """Where its instances rest between requests; None if each is used once."""
        self._answer = self._answer_handler if kind is GuestKind.HANDLER else self._answer_command
        self.streams = kind is GuestKind.COMMAND
        self._limits = limits
        self._ticks = ticks_for(limits.time_ms)
        self._ticker = ticker

    def call(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:
        """Answer one request, in a fresh instance unless this guest is a warm handler.

        Raises :class:`GuestError` if the guest fails; :class:`LocalError` if the request has no CGI form, or more
        instances are alive than the engine has room for.
        """
        return self._answer(environment, body)

    def _answer_handler(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:
        request = scgi_of(environment, body)
        call = Call((), b"", self._limits.output_bytes)
        run = self._run if self._warm is None else self._run_warm
        return GuestAnswer(run(call, request), bytes(call.log))

    def _answer_command(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:
        call = Call(environment_of(environment, len(body)), body, self._limits.output_bytes)
        self._run(call, None)
        return GuestAnswer(bytes(call.output), bytes(call.log))

    def stream(self, environment: Sequence[tuple[str, str]], exchange: Exchange) -> bytes:
        """Answer one request as it comes, likewise; what was logged."""
        call = Call(environment_of(environment, exchange.length), b"", self._limits.output_bytes, exchange)
        call.allowance = Allowance(self._ticker, call, self._limits.time_ms)
        self._run(call, None)
        return bytes(call.log)

    def _run(self, call: Call, request: bytes | None) -> bytes:
        instance: Instance | None = None
        self._ticker.enter(call)
        try:
            instance = self._module.instantiate(call, self._limits, self._ticks)
            if request is not None:
                return _exchange(call, instance, request)
            instance.start()
            _check_stopped(call)
        except Trapped as trapped:
            _check_stopped(call)
            if call.stop is None:
                raise self._failure(trapped, call, instance) from None
        finally:
            self._ticker.leave(call)
            if instance is not None:
                instance.close()
        return b""

    def _run_warm(self, call: Call, request: bytes) -> bytes:
        """In an instance that rests, or else in a new one; it rests again only if nothing went wrong."""
        assert self._warm is not None  # noqa: S101  asked by the caller
        resting = self._warm.take(self)
        rests = False
        self._ticker.enter(call)
        try:
            if resting is None:
                instance = self._module.instantiate(call, self._limits, self._ticks)
                resting = Resting(instance, instance.memory().size)
            else:
                resting.instance.renew(call, self._ticks)
            answer = _exchange(call, resting.instance, request)
            rests = self._may_rest(resting)
        except Trapped as trapped:
            _check_stopped(call)
            raise self._failure(trapped, call, resting.instance if resting is not None else None) from None
        else:
            return answer
        finally:
            self._ticker.leave(call)
            if rests and resting is not None:
                self._warm.put(self, resting)
            elif resting is not None:
                resting.instance.close()

    def _may_rest(self, resting: Resting) -> bool:
        """Whether it has not grown so much that the next request might find no room, and others none either."""
        size = resting.instance.memory().size
        return size == resting.first_bytes or 2 * size <= self._limits.memory_bytes

    def _failure(self, trapped: Trapped, call: Call, instance: Instance | None) -> GuestError:
        if trapped.code is wasmtime.TrapCode.INTERRUPT:
            return GuestError(GuestFault.TIME, f"more than {self._limits.time_ms:g} ms", log=bytes(call.log))
        used = instance.memory().size if instance is not None else 0
        name = trapped.code.name.lower().replace("_", " ") if trapped.code is not None else "trap"
        detail = f"{name}, with {used} of {self._limits.memory_bytes} bytes of memory in use"
        full = trapped.code is wasmtime.TrapCode.UNREACHABLE and nearly_full(used, self._limits.memory_bytes)
        return GuestError(GuestFault.MEMORY if full else GuestFault.TRAP, detail, log=bytes(call.log))


def nearly_full(used_bytes: int, limit_bytes: int) -> bool:
    """Whether a guest that gave up had hardly any memory left to ask for.

    The engine does not tell when it refused to grow a memory; guests that are refused mostly abort.
    """
    return used_bytes > limit_bytes - max(limit_bytes // 8, 65536)


def _exchange(call: Call, instance: Instance, request: bytes) -> bytes:
    at = instance.allocate(len(request))
    _check_stopped(call)
    if at == 0:
        raise GuestError(GuestFault.MEMORY, f"no room for a request of {len(request)} bytes", log=bytes(call.log))
    try:
        instance.memory().write(at, request)
    except OutOfBounds:
        raise _malformed(call, f"footloose_alloc gave {at}, outside its memory") from None
    packed = instance.handle(at, len(request))
    _check_stopped(call)
    at, length = packed >> 32, packed & 0xFFFF_FFFF
    if length > call.output_limit:
        raise GuestError(GuestFault.OUTPUT, f"{length} bytes, of {call.output_limit} allowed", log=bytes(call.log))
    try:
        return instance.memory().read(at, length)
    except OutOfBounds:
        raise _malformed(call, f"an answer of {length} bytes at {at}, outside its memory") from None


def _malformed(call: Call, detail: str) -> GuestError:
    return GuestError(GuestFault.ANSWER, detail, log=bytes(call.log))


def _check_stopped(call: Call) -> None:
    """Raise what a host function ended the guest for, unless it was simply done."""
    if call.bug is not None:
        raise call.bug
    if call.stop is not None and call.stop.fault is not None:
        raise GuestError(call.stop.fault, call.stop.detail, log=bytes(call.log))


def check_limits(limits: Limits) -> None:
    """Raises :class:`LocalError` if no guest can be held to these limits."""
    if not 0 < limits.memory_bytes <= GUEST_MEMORY_MOST_BYTES:
        raise LocalError(
            f"a memory limit of {limits.memory_bytes} bytes", where="limits", fix=f"at most {GUEST_MEMORY_MOST_BYTES}"
        )
    if not 0 < limits.time_ms < 1e9 or limits.output_bytes < 0:
        raise LocalError("a time or output limit that is not a positive number", where="limits")
