"""How true the internet in a box is: error of round trips, packets a second, and time to set up.

Run as root with ``python benchmarks/testbed.py``; prints tables and writes ``benchmarks/results/testbed.json``. The
figures depend on what else the machine does: run it when nothing else does.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import struct
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from footloose.testbed import Testbed, available, icon, tree

RESULT = Path(__file__).parent / "results" / "testbed.json"
WARM_UP = 10
PAYLOAD_BYTES = 100
SIZES = ((10, 10), (100, 50), (240, 100), (240, 240))
RATES = (5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 120_000, 150_000)
LOSS_ALLOWED = 0.001
SO_TIMESTAMPNS = 35

FLOOD = """
import socket, sys, time
address, rate, seconds, size = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((address, 9999))
data, sent, began, refused = bytes(size), 0, time.monotonic(), 0
while (now := time.monotonic() - began) < seconds:
    due = int(now * rate) - sent
    for _ in range(min(due, 64)):
        try:
            s.send(data)
        except OSError:
            refused += 1
    sent += min(due, 64)
    if due < 1:
        time.sleep(0.0002)
print(sent, refused, time.monotonic() - began)
"""


def round_trips(net: Testbed, start: str, end: str, samples: int) -> dict[str, Any]:
    """Error of pings against the nominal round trip, 100 a second. Kernels answer them and note when answers came."""
    nominal = net.rtt_ms(start, end)
    errors = []
    with net.host(start).socket(kind=socket.SOCK_DGRAM, protocol=socket.IPPROTO_ICMP) as asker:
        asker.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        asker.connect((net.host(end).address, 0))
        asker.settimeout(5)
        for number in range(WARM_UP + samples):
            sent_ns = time.time_ns()
            asker.send(struct.pack("!BBHHH", 8, 0, 0, 0, number))
            _, [(_, _, stamp)], _, _ = asker.recvmsg(100, 64)
            seconds, nanoseconds = struct.unpack("=qq", stamp)
            if number >= WARM_UP:
                errors.append((seconds * 10**9 + nanoseconds - sent_ns) / 1e6 - nominal)
            time.sleep(0.01)
    ranked = sorted(errors)
    return {
        "path": f"{start} - {end}",
        "routers": len(net.hops(start, end)) - 1,
        "nominal_ms": nominal,
        "samples": samples,
        "error_ms": {
            "median": round(statistics.median(errors), 3),
            "p95": round(ranked[int(0.95 * samples)], 3),
            "p99": round(ranked[int(0.99 * samples)], 3),
            "max": round(ranked[-1], 3),
        },
    }


def flood(net: Testbed, start: str, end: str, rate: int, seconds: float) -> dict[str, Any]:
    """What becomes of UDP packets sent at a steady rate to a port where nobody reads."""
    with net.host(end).socket(kind=socket.SOCK_DGRAM) as sink:
        sink.bind((net.host(end).address, 9999))
        before = net.counters()
        arguments = [net.host(end).address, str(rate), str(seconds), str(PAYLOAD_BYTES)]
        done = net.host(start).run(
            [sys.executable, "-c", FLOOD, *arguments], capture_output=True, text=True, check=True
        )
        time.sleep(net.rtt_ms(start, end) / 1e3)
        after = net.counters()
    sent, refused, took = done.stdout.split()
    delivered = after.delivered - before.delivered
    return {
        "offered_per_s": round(int(sent) / float(took)),
        "delivered_per_s": round(delivered / float(took)),
        "lost_share": round(1 - delivered / max(1, int(sent) - int(refused)), 5),
    }


def set_up(routers: int, hosts: int) -> dict[str, Any]:
    """Time from nothing to a ready network, and back."""
    topology = tree(routers=routers, hosts=hosts)
    began = time.monotonic()
    net = Testbed(topology).up()
    up = time.monotonic()
    net.down()
    return {
        "routers": routers,
        "hosts": hosts,
        "up_s": round(up - began, 3),
        "down_s": round(time.monotonic() - up, 3),
    }


def measure(samples: int, seconds: float) -> dict[str, Any]:
    """All figures."""
    with Testbed(icon()) as net:
        return {
            "machine": {
                "system": platform.platform(),
                "python": platform.python_version(),
                "processors": os.cpu_count(),
                "load_before": round(os.getloadavg()[0], 2),
                "way": available().why,
                "realtime": bool(net.ready and net.ready.realtime),
                "lead_us": round(net.ready.lead_us, 1) if net.ready else None,
            },
            "round_trips": [round_trips(net, a, b, samples) for a, b in (("client", "root"), ("client", "edge"))],
            "packets": [flood(net, "client", "root", rate, seconds) for rate in RATES],
            "set_up": [set_up(routers, hosts) for routers, hosts in SIZES],
        }


def sustained(found: list[dict[str, Any]]) -> int:
    """The highest rate at which next to nothing was lost."""
    return max((each["delivered_per_s"] for each in found if each["lost_share"] <= LOSS_ALLOWED), default=0)


def show(found: dict[str, Any]) -> None:
    """Print the figures."""
    console = Console()
    table = Table("path", "routers", "nominal ms", "median", "p95", "p99", "max", title="Error of round trips, ms")
    for each in found["round_trips"]:
        row = (each["path"], each["routers"], each["nominal_ms"], *each["error_ms"].values())
        table.add_row(*map(str, row))
    console.print(table)
    table = Table("offered/s", "delivered/s", "lost", title=f"{PAYLOAD_BYTES} byte UDP over 9 routers")
    for each in found["packets"]:
        table.add_row(str(each["offered_per_s"]), str(each["delivered_per_s"]), f"{each['lost_share']:.2%}")
    console.print(table)
    console.print(f"sustained: {found['packets_sustained_per_s']} packets/s")
    table = Table("routers", "hosts", "up s", "down s", title="Set-up")
    for each in found["set_up"]:
        table.add_row(*map(str, each.values()))
    console.print(table)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=400, help="round trips per path")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each flood")
    options = parser.parse_args()
    found = measure(options.samples, options.seconds)
    found["packets_sustained_per_s"] = sustained(found["packets"])
    show(found)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
