"""The engine's configuration: one place for the process that compiles and the workers that run.

Code compiled under one configuration is refused under another, so both sides build it here. How instances are
allocated is no part of that: the compiler needs no pool.
"""

import functools
import hashlib
import json
import platform
import resource
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasmtime import _ffi as ffi

from footloose.core.errors import LocalError
from footloose.core.limits import GUEST_INSTANCES, GUEST_MEMORY_MOST_BYTES, GUEST_STACK_BYTES

ENGINE_VERSION = version("wasmtime")
TABLE_ELEMENTS = 20_000
"""Largest table any instance can have."""
MEMORY_KEPT_BYTES = 256 * 1024
"""Memory that stays with a slot of the pool and is zeroed rather than given back: two to three times faster."""
TABLE_KEPT_BYTES = 16 * 1024
"""The same for tables."""

CODE_SETTINGS: Mapping[str, bool | str | int] = {
    "strategy": "cranelift",
    "cranelift_opt_level": "speed",
    "epoch_interruption": True,
    "max_wasm_stack": GUEST_STACK_BYTES,
    "memory_init_cow": True,
    "concurrency_support": False,  # only components need it, and a store is cheaper to make without
    # What guests may be built with: WebAssembly 2.0 and tail calls. Memories are 32-bit and not shared, which the
    # calling convention rests on; the rest is left out until a toolchain needs it.
    "wasm_bulk_memory": True,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    "wasm_simd": True,
    "wasm_tail_call": True,
    "wasm_relaxed_simd": False,
    "wasm_threads": False,
    "wasm_memory64": False,
    "wasm_multi_memory": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "wasm_exceptions": False,
    "wasm_component_model": False,
}
"""All that decides which code comes out, as :class:`wasmtime.Config` names it."""


def compiling_engine() -> wasmtime.Engine:
    """An engine to compile with."""
    return wasmtime.Engine(_config())


def running_engine() -> wasmtime.Engine:
    """An engine to run what :func:`compiling_engine` compiled: instances come from a pool.

    The pool reserves 4 GiB of addresses (not memory) per instance, so that memory accesses need no bounds check.

    The engine tells traps from faults by handling SIGSEGV, SIGILL and SIGFPE. Whoever wants to handle these as well
    (``faulthandler.enable``) must do so before, or the first trap ends the process.

    Raises :class:`LocalError` if threads have too little stack for a guest to run out of its own first.
    """
    _check_stack()
    config = _config()
    _pool(config)
    return wasmtime.Engine(config)


@functools.cache
def engine_key() -> str:
    """16 hexadecimal digits that differ wherever compiled code may not be shared: engine, settings or processor."""
    identity = [ENGINE_VERSION, dict(CODE_SETTINGS), platform.machine(), _processor_features()]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _config() -> wasmtime.Config:
    config = wasmtime.Config()
    for name, value in CODE_SETTINGS.items():
        if hasattr(wasmtime.Config, name):
            setattr(config, name, value)
        else:  # has no public setter yet
            getattr(ffi, f"wasmtime_config_{name}_set")(config.ptr(), value)
    return config


def _pool(config: wasmtime.Config) -> None:
    pool = ffi.wasmtime_pooling_allocation_config_new()
    for name, value in {
        "total_core_instances": GUEST_INSTANCES,
        "total_memories": GUEST_INSTANCES,
        "total_tables": GUEST_INSTANCES,
        "max_memory_size": GUEST_MEMORY_MOST_BYTES,
        "linear_memory_keep_resident": MEMORY_KEPT_BYTES,
        "table_elements": TABLE_ELEMENTS,
        "table_keep_resident": TABLE_KEPT_BYTES,
    }.items():
        getattr(ffi, f"wasmtime_pooling_allocation_config_{name}_set")(pool, value)
    ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
    ffi.wasmtime_pooling_allocation_config_delete(pool)


def _check_stack() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
    stack_bytes = threading.stack_size() or (limit if limit != resource.RLIM_INFINITY else 2 * GUEST_STACK_BYTES)
    if stack_bytes < 2 * GUEST_STACK_BYTES:
        raise LocalError(
            f"threads have {stack_bytes} bytes of stack, too little for guests that may use {GUEST_STACK_BYTES}",
            where="WebAssembly engine",
            fix=f"raise ulimit -s or threading.stack_size to {2 * GUEST_STACK_BYTES} bytes",
        )


def _processor_features() -> list[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:  # x86-64, aarch64
            return sorted(value.split())
    return []
