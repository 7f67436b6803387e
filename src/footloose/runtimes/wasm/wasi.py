"""WASI preview 1 for commands, all in memory: environment, stdin, stdout, stderr, clocks, randomness. Nothing else.

Calls that would reach files or the network are answered ``ENOTCAPABLE``, others ``ENOSYS``. Source: WASI
snapshot_preview1 (WebAssembly/WASI, ``phases/snapshot/docs.md``).
"""

import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType

from footloose.model.guest import GuestFault
from footloose.runtimes.wasm.call import Call, HostFunction, Stop
from footloose.runtimes.wasm.memory import GuestMemory

WASI_MODULE = "wasi_snapshot_preview1"

STDIN, STDOUT, STDERR = 0, 1, 2
PROGRAM = b"guest"
"""The one argument a command sees: its own name."""

VECTORS_PER_CALL = 1024
"""Buffers one read or write may name (as Linux's IOV_MAX): the guest cannot be interrupted meanwhile."""
RANDOM_BYTES_PER_CALL = 64 * 1024
READ_BYTES_PER_CALL = 1024 * 1024
SUBSCRIPTIONS_PER_CALL = 64
"""Events one ``poll_oneoff`` may wait for."""

_SUCCESS, _BADF, _FAULT, _INVAL, _NOSYS, _SPIPE, _NOTCAPABLE = 0, 8, 21, 28, 52, 70, 76
_CLOCK_REALTIME, _CLOCK_MONOTONIC = 0, 1
_CLOCK_RESOLUTION_NS = 1000
_EVENT_CLOCK, _EVENT_FD_READ, _EVENT_FD_WRITE = 0, 1, 2
_ABSOLUTE = 1
_SUBSCRIPTION = struct.Struct("<QB7xI4xQ8xH6x")
_EVENT = struct.Struct("<QHB5xQH6x")
_RIGHT_FD_READ, _RIGHT_FD_WRITE = 1 << 1, 1 << 6


def _args_get(_call: Call, memory: GuestMemory, pointers: int, texts: int) -> int:
    return _write_texts(memory, pointers, texts, [PROGRAM])


def _args_sizes_get(_call: Call, memory: GuestMemory, count: int, size: int) -> int:
    return _write_sizes(memory, count, size, [PROGRAM])


def _environ_get(call: Call, memory: GuestMemory, pointers: int, texts: int) -> int:
    return _write_texts(memory, pointers, texts, call.environment)


def _environ_sizes_get(call: Call, memory: GuestMemory, count: int, size: int) -> int:
    return _write_sizes(memory, count, size, call.environment)


def _write_sizes(memory: GuestMemory, count: int, size: int, texts: Sequence[bytes]) -> int:
    memory.write_u32(count, len(texts))
    memory.write_u32(size, sum(map(len, texts)) + len(texts))
    return _SUCCESS


def _write_texts(memory: GuestMemory, pointers: int, at: int, texts: Sequence[bytes]) -> int:
    starts = accumulate((len(text) + 1 for text in texts), initial=at)
    memory.write_u32s(pointers, list(starts)[:-1])
    memory.write(at, b"".join([text + b"\0" for text in texts]))
    return _SUCCESS


def _clock_res_get(_call: Call, memory: GuestMemory, clock: int, result: int) -> int:
    if clock not in {_CLOCK_REALTIME, _CLOCK_MONOTONIC}:
        return _INVAL
    memory.write_u64(result, _CLOCK_RESOLUTION_NS)
    return _SUCCESS


def _clock_time_get(_call: Call, memory: GuestMemory, clock: int, _precision: int, result: int) -> int:
    if clock not in {_CLOCK_REALTIME, _CLOCK_MONOTONIC}:
        return _INVAL
    memory.write_u64(result, time.time_ns() if clock == _CLOCK_REALTIME else time.monotonic_ns())
    return _SUCCESS


def _random_get(_call: Call, memory: GuestMemory, at: int, length: int) -> int:
    if length > RANDOM_BYTES_PER_CALL:
        return _INVAL
    memory.write(at, os.urandom(length))
    return _SUCCESS


def _fd_read(call: Call, memory: GuestMemory, descriptor: int, vectors: int, count: int, result: int) -> int:
    if descriptor != STDIN or descriptor in call.closed:
        return _BADF
    if count > VECTORS_PER_CALL:
        return _INVAL
    numbers = memory.read_u32s(vectors, 2 * count)
    came = call.read_body(min(sum(numbers[1::2]), READ_BYTES_PER_CALL))
    taken = 0
    for at, length in zip(numbers[::2], numbers[1::2], strict=True):
        memory.write(at, came[taken : taken + length])
        taken += length
    memory.write_u32(result, len(came))
    return _SUCCESS


def _fd_write(call: Call, memory: GuestMemory, descriptor: int, vectors: int, count: int, result: int) -> int:
    if descriptor not in {STDOUT, STDERR} or descriptor in call.closed:
        return _BADF
    if count > VECTORS_PER_CALL:
        return _INVAL
    append = call.append_output if descriptor == STDOUT else call.append_log
    numbers = memory.read_u32s(vectors, 2 * count)
    for at, length in zip(numbers[::2], numbers[1::2], strict=True):
        append(memory, at, length)
    memory.write_u32(result, sum(numbers[1::2]))
    return _SUCCESS


def _fd_close(call: Call, _memory: GuestMemory, descriptor: int) -> int:
    if not _is_open(call, descriptor):
        return _BADF
    call.closed |= {descriptor}
    return _SUCCESS


def _fd_fdstat_get(call: Call, memory: GuestMemory, descriptor: int, result: int) -> int:
    if not _is_open(call, descriptor):
        return _BADF
    memory.write(result, bytes(24))  # file type 0 (unknown, so no terminal), no flags
    memory.write_u64(result + 8, _RIGHT_FD_READ if descriptor == STDIN else _RIGHT_FD_WRITE)
    return _SUCCESS


def _fd_filestat_get(call: Call, memory: GuestMemory, descriptor: int, result: int) -> int:
    if not _is_open(call, descriptor):
        return _BADF
    memory.write(result, bytes(64))
    return _SUCCESS


def _no_position(call: Call, _memory: GuestMemory, descriptor: int, *_rest: int) -> int:
    return _SPIPE if _is_open(call, descriptor) else _BADF


def _no_descriptor(_call: Call, _memory: GuestMemory, *_rest: int) -> int:
    return _BADF


def _yield(_call: Call, _memory: GuestMemory) -> int:
    return _SUCCESS


def _poll_oneoff(call: Call, memory: GuestMemory, subscriptions: int, events: int, count: int, result: int) -> int:
    """Wait for a time. Descriptors are always ready: reading and writing wait for themselves."""
    if not 0 < count <= SUBSCRIPTIONS_PER_CALL:
        return _INVAL
    asked = [
        _SUBSCRIPTION.unpack(memory.read(subscriptions + i * _SUBSCRIPTION.size, _SUBSCRIPTION.size))
        for i in range(count)
    ]
    waits = [_wait_s(kind, clock, timeout_ns, flags) for _, kind, clock, timeout_ns, flags in asked]
    if None in waits:
        return _INVAL
    shortest_s = min(wait_s for wait_s in waits if wait_s is not None)
    if shortest_s > 0:
        call.sleep(shortest_s)
    happened = [
        _EVENT.pack(userdata, _SUCCESS, kind, 0, 0)
        for (userdata, kind, *_), wait_s in zip(asked, waits, strict=True)
        if wait_s is not None and wait_s <= shortest_s
    ]
    memory.write(events, b"".join(happened))
    memory.write_u32(result, len(happened))
    return _SUCCESS


def _wait_s(kind: int, clock: int, timeout_ns: int, flags: int) -> float | None:
    """How long one subscription waits; None if it is none."""
    if kind in {_EVENT_FD_READ, _EVENT_FD_WRITE}:
        return 0.0
    if kind != _EVENT_CLOCK or clock not in {_CLOCK_REALTIME, _CLOCK_MONOTONIC}:
        return None
    if flags & _ABSOLUTE:
        timeout_ns -= time.time_ns() if clock == _CLOCK_REALTIME else time.monotonic_ns()
    return max(timeout_ns, 0) / 1e9


def _proc_exit(_call: Call, _memory: GuestMemory, status: int) -> int:
    raise Stop(GuestFault.EXIT, f"status {status}") if status else Stop(None)


def _not_capable(_call: Call, _memory: GuestMemory, *_rest: int) -> int:
    return _NOTCAPABLE


def _not_supported(_call: Call, _memory: GuestMemory, *_rest: int) -> int:
    return _NOSYS


def _is_open(call: Call, descriptor: int) -> bool:
    return descriptor in {STDIN, STDOUT, STDERR} and descriptor not in call.closed


_SERVED: dict[str, tuple[str, Callable[..., int]]] = {
    "args_get": ("ii", _args_get),
    "args_sizes_get": ("ii", _args_sizes_get),
    "clock_res_get": ("ii", _clock_res_get),
    "clock_time_get": ("iIi", _clock_time_get),
    "environ_get": ("ii", _environ_get),
    "environ_sizes_get": ("ii", _environ_sizes_get),
    "fd_close": ("i", _fd_close),
    "fd_fdstat_get": ("ii", _fd_fdstat_get),
    "fd_filestat_get": ("ii", _fd_filestat_get),
    "fd_prestat_dir_name": ("iii", _no_descriptor),  # EBADF is how a guest learns that there are no folders
    "fd_prestat_get": ("ii", _no_descriptor),
    "fd_read": ("iiii", _fd_read),
    "fd_seek": ("iIii", _no_position),
    "fd_tell": ("ii", _no_position),
    "fd_write": ("iiii", _fd_write),
    "poll_oneoff": ("iiii", _poll_oneoff),
    "random_get": ("ii", _random_get),
    "sched_yield": ("", _yield),
}
_NOT_SERVED = {
    "fd_advise": "iIIi",
    "fd_allocate": "iII",
    "fd_datasync": "i",
    "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_pwrite": "iiiIi",
    "fd_readdir": "iiiIi",
    "fd_renumber": "ii",
    "fd_sync": "i",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
    "proc_raise": "i",
    "sock_accept": "iii",
    "sock_recv": "iiiiii",
    "sock_send": "iiiii",
    "sock_shutdown": "ii",
}

WASI_FUNCTIONS: Mapping[str, HostFunction] = MappingProxyType(
    {name: HostFunction(parameters, "i", run, _FAULT) for name, (parameters, run) in _SERVED.items()}
    | {
        name: HostFunction(
            parameters, "i", _not_capable if name.startswith(("path_", "sock_")) else _not_supported, _FAULT
        )
        for name, parameters in _NOT_SERVED.items()
    }
    | {"proc_exit": HostFunction("i", "", _proc_exit)}
)
"""All of preview 1, by name."""
