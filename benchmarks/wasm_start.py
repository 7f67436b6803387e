"""How long one request takes inside a worker, from CGI variables to answer, in a fresh instance each time.

Run with ``python benchmarks/wasm_start.py``; prints a table and writes ``benchmarks/results/wasm_start.json``. The
figures depend on what else the machine does: compare the two paths of one run, not runs.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from footloose.bench import hello
from footloose.model.app import Limits
from footloose.model.guest import Guest
from footloose.runtimes.wasm.runtime import WasmRuntime

RESULT = Path(__file__).parent / "results" / "wasm_start.json"
WARM_UP_CALLS = 500
REQUEST = (
    *hello.REQUEST,
    ("HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    ("HTTP_ACCEPT", "text/html,application/xhtml+xml"),
    ("HTTP_ACCEPT_LANGUAGE", "en"),
)


def measure(guest: Guest, calls: int) -> dict[str, float]:
    """Microseconds per call: wall time percentiles, and processor time on average."""
    for _ in range(WARM_UP_CALLS):
        guest.call(REQUEST, b"")
    times_ns = []
    cpu_ns = time.process_time_ns()
    for _ in range(calls):
        begin = time.perf_counter_ns()
        guest.call(REQUEST, b"")
        times_ns.append(time.perf_counter_ns() - begin)
    cpu_ns = time.process_time_ns() - cpu_ns
    cuts = statistics.quantiles(times_ns, n=100)
    return {
        "p50_us": round(cuts[49] / 1000, 1),
        "p99_us": round(cuts[98] / 1000, 1),
        "cpu_us": round(cpu_ns / calls / 1000, 1),
    }


def main() -> None:
    """Measure both kinds of guest on both paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    calls = parser.parse_args().calls
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        compiled = asyncio.run(hello.compiled(Path(folder)))
        for portable in (False, True):
            runtime = WasmRuntime(portable=portable)
            for kind, path in compiled.items():
                found = measure(runtime.load(path, kind, Limits()), calls)
                rows.append({"guest": f"hello {kind.value}", "path": "fast" if runtime.fast else "portable"} | found)
            runtime.close()
    table = Table(
        "guest", "path", "p50 µs", "p99 µs", "CPU µs", title=f"One request in a fresh instance, {calls} calls"
    )
    for row in rows:
        table.add_row(*[str(value) for value in row.values()])
    Console().print(table)
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    machine |= {"python": platform.python_version(), "wasmtime": version("wasmtime")}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"calls": calls, "machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
