"""Hosts in virtual time, and what goes between them: datagrams, and requests with their answers.

A request travels as over a connection: what is lost is sent again until it is answered or given up, and comes to the
other process once. Where no process listens it is refused; where no host is up, or none can be reached, nothing comes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from footloose.simulation.engine import Engine
from footloose.simulation.network import Network
from footloose.simulation.process import Address, Datagrams, ProcessLoop

_HEAD_BYTES = 200
"""Of a request or answer, besides its body."""
_FIRST_RETRY_S = 0.2
"""The least time to wait before a lost segment is sent again (RFC 6298 §2, as Linux has it)."""
_REMEMBERED = 1000
"""Requests a process knows it has had."""

Done = Callable[["Reply"], object]
"""Takes the outcome of a request."""


class Reply:
    """What became of a request: an answer, or why there is none."""

    __slots__ = ("answer", "failure")

    def __init__(self, answer: Any = None, failure: str = "") -> None:
        self.answer = answer
        self.failure = failure


class Listener:
    """A process that takes requests at a port. ``handle`` runs in it and calls back with the answer, once."""

    def __init__(self, process: ProcessLoop, handle: Callable[[Any, Callable[[Any, int], None]], object]) -> None:
        self.process = process
        self.handle = handle
        self.had: OrderedDict[int, tuple[Any, int] | None] = OrderedDict()
        """The numbers of requests it has had, and what it answered."""


class _Exchange:
    __slots__ = ("done", "message", "retry_s", "size_bytes", "source", "target")

    def __init__(self, source: int, target: Address, message: Any, size_bytes: int, done: Done) -> None:
        self.source = source
        self.target = target
        self.message = message
        self.size_bytes = size_bytes
        self.done = done
        self.retry_s = _FIRST_RETRY_S


class Internet:
    """Hosts by address on a :class:`Network`. ``down`` hosts neither send nor hear anything."""

    def __init__(self, engine: Engine, network: Network, rtt_s: Callable[[int, int], float]) -> None:
        self._engine = engine
        self._network = network
        self._rtt_s = rtt_s
        self._numbers: dict[str, int] = {}
        self._addresses: list[str] = []
        self._sockets: dict[Address, tuple[ProcessLoop, asyncio.DatagramProtocol, Datagrams]] = {}
        self._listeners: dict[Address, Listener] = {}
        self._exchanges: dict[int, _Exchange] = {}
        self._begun = 0
        self.down: set[int] = set()

    def add(self, address: str) -> int:
        """A new host; its number on the network."""
        number = len(self._addresses)
        self._numbers[address] = number
        self._addresses.append(address)
        self._network.attach(number, lambda source, message: self._arrived(number, source, message))
        return number

    def number(self, address: str) -> int | None:
        """The host at an address, if there is one."""
        return self._numbers.get(address)

    @property
    def unanswered(self) -> int:
        """Requests under way."""
        return len(self._exchanges)

    # Datagrams

    def open(self, process: ProcessLoop, protocol: asyncio.DatagramProtocol, local: Address) -> Datagrams:
        """A UDP socket. Raises :class:`OSError` if the port is taken by a process that lives."""
        source = self._numbers[local[0]]
        bound = self._sockets.get(local)
        if bound is not None and not bound[0].killed and not bound[2].is_closing():
            raise OSError(f"{local[0]}:{local[1]} is in use")

        def send(data: bytes, to: Address) -> None:
            target = self._numbers.get(to[0])
            if target is not None and source not in self.down:
                self._network.send(source, target, (local, to, data), len(data))

        transport = Datagrams(process, local, send)
        self._sockets[local] = (process, protocol, transport)
        return transport

    # Requests

    def listen(self, at: Address, listener: Listener) -> None:
        """Requests to ``at`` go to ``listener`` from now on."""
        self._listeners[at] = listener

    def ask(self, source: int, target: Address, message: Any, *, size_bytes: int, timeout_s: float, done: Done) -> None:
        """Send a request; ``done`` is called with the outcome, whatever it is, within ``timeout_s``."""
        self._begun += 1
        number = self._begun
        exchange = self._exchanges[number] = _Exchange(source, target, message, size_bytes + _HEAD_BYTES, done)
        self._send(number)
        self._engine.after(timeout_s, self._gave_up, (number, timeout_s, exchange))

    def _send(self, number: int) -> None:
        exchange = self._exchanges.get(number)
        if exchange is None:
            return
        to = self._numbers.get(exchange.target[0])
        if to is None or exchange.source in self.down:
            return
        self._network.send(exchange.source, to, (number, exchange.target, exchange.message), exchange.size_bytes)
        wait_s = max(exchange.retry_s, 2 * self._rtt_s(exchange.source, to))
        exchange.retry_s = 2 * wait_s
        self._engine.after(wait_s, self._send, number)

    def _gave_up(self, waiting: tuple[int, float, _Exchange]) -> None:
        number, timeout_s, exchange = waiting
        if self._exchanges.pop(number, None) is not None:
            exchange.done(Reply(failure=f"no answer within {timeout_s:g} s"))

    def _finished(self, number: int, reply: Reply) -> None:
        exchange = self._exchanges.pop(number, None)
        if exchange is not None:
            exchange.done(reply)

    # Arrivals

    def _arrived(self, host: int, source: int, message: Any) -> None:
        if host in self.down:
            return
        if len(message) == 2:
            self._finished(*message)
            return
        first, target, content = message
        if isinstance(first, int):
            self._asked(host, source, first, target, content)
            return
        bound = self._sockets.get(target)
        if bound is not None and not bound[2].is_closing():
            process, protocol, _ = bound
            process.enter(protocol.datagram_received, content, first)

    def _asked(self, host: int, source: int, number: int, target: Address, content: Any) -> None:
        listener = self._listeners.get(target)
        if listener is None or listener.process.killed:
            self._network.send(host, source, (number, Reply(failure="connection refused")), _HEAD_BYTES)
            return
        if number in listener.had:
            answered = listener.had[number]
            if answered is not None:
                self._answer(host, source, number, *answered)
            return
        listener.had[number] = None
        if len(listener.had) > _REMEMBERED:
            listener.had.popitem(last=False)

        def answer(value: Any, size_bytes: int) -> None:
            if listener.process.killed or host in self.down:
                return
            listener.had[number] = (value, size_bytes)
            self._answer(host, source, number, value, size_bytes)

        listener.process.enter(listener.handle, content, answer)

    def _answer(self, host: int, source: int, number: int, value: Any, size_bytes: int) -> None:
        self._network.send(host, source, (number, Reply(value)), size_bytes + _HEAD_BYTES)
