"""Calls a handler module as the guest interface has it, straight on the engine: one fresh instance per request."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import wasmtime

import footloose

PULSE = Path(footloose.__file__).parent / "samples" / "pulse"


class Answer(NamedTuple):
    """What a guest printed, taken apart. Names of headers are lower-case; of several with one name the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes


class Handler:
    """A compiled handler."""

    def __init__(self, wasm: Path) -> None:
        self._engine = wasmtime.Engine()
        self._module = wasmtime.Module.from_file(self._engine, str(wasm))

    def call(self, variables: Mapping[str, str | None], body: bytes = b"") -> Answer:
        """One request or event."""
        store = wasmtime.Store(self._engine)
        kind = wasmtime.FuncType([wasmtime.ValType.i32(), wasmtime.ValType.i32()], [])
        log = wasmtime.Func(store, kind, lambda _at, _length: None)
        imports = [log for _ in self._module.imports]
        exports = wasmtime.Instance(store, self._module, imports).exports(store)
        memory, allocate, handle = exports["memory"], exports["footloose_alloc"], exports["footloose_handle"]
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(allocate, wasmtime.Func)
        assert isinstance(handle, wasmtime.Func)
        request = scgi({"CONTENT_LENGTH": str(len(body)), "SCGI": "1", **variables}, body)
        at = allocate(store, len(request))
        memory.write(store, request, at)
        where = handle(store, at, len(request))
        start, length = (where >> 32) & 0xFFFFFFFF, where & 0xFFFFFFFF
        return parsed(bytes(memory.read(store, start, start + length)))

    def get(self, path: str, query: str = "", method: str = "GET", **variables: str) -> Answer:
        """One HTTP request."""
        known = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "/pulse-x/web"}
        return self.call(known | variables)

    def event(
        self, event: str, body: bytes = b"", kind: str = "text/plain; charset=utf-8", path: str = "/live"
    ) -> Answer:
        """One WebSocket event."""
        known = {"REQUEST_METHOD": "WEBSOCKET", "PATH_INFO": path, "FOOTLOOSE_EVENT": event, "CONTENT_TYPE": kind}
        return self.call(known | {"FOOTLOOSE_CONNECTION": "1"}, body)


def scgi(variables: Mapping[str, str | None], body: bytes) -> bytes:
    """The request as one buffer."""
    pairs = [f"{name}\0{value}\0" for name, value in variables.items() if value is not None]
    head = "".join(pairs).encode()
    return b"%d:%b,%b" % (len(head), head, body)


def parsed(output: bytes) -> Answer:
    """Status, headers and body of what a CGI script would print."""
    head, _, body = output.partition(b"\r\n\r\n") if not output.startswith(b"\r\n") else (b"", b"", output[2:])
    lines = [line.partition(":") for line in head.decode().split("\r\n") if line]
    headers = {name.lower(): value.strip() for name, _, value in lines}
    return Answer(int(headers.get("status", "200")), headers, body)
