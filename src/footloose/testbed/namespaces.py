"""Hosts as network namespaces without names: they last as long as the process that holds them, or one inside them."""

import os
import select
import signal
from collections.abc import Collection
from contextlib import suppress
from errno import ENOENT
from pathlib import Path
from typing import Final

from footloose.core.errors import LocalError
from footloose.testbed import kernel
from footloose.testbed.netlink import Netlink
from footloose.testbed.ports import HOST_LINK, TUN_DEVICE, Port, TunPort, VethPort

_SETTINGS: Final = {
    # A new namespace copies the machine's settings, whatever they are: say all that matters.
    "ipv4/ip_forward": "0",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # The kernel's limits on ICMP would spoil traces to hosts (the ICON Python Orchestrator thesis §3.4); routers have
    # limits of their own.
    "ipv4/icmp_ratelimit": "0",
    "ipv4/icmp_ratemask": "0",
    "ipv4/icmp_msgs_per_sec": "100000",
    "ipv4/icmp_msgs_burst": "10000",
    "ipv4/icmp_echo_ignore_all": "0",
    "ipv4/ping_group_range": "0 0",
    "ipv4/tcp_rmem": "4096 131072 33554432",
    "ipv4/tcp_wmem": "4096 65536 33554432",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}
_NETWORK_SETTINGS: Final = Path("/proc/sys/net")
_REAP_ROUNDS: Final = 100
_REAP_WAIT_MS: Final = 1_000


def leave_for_own(*, root: bool) -> bool:
    """Move this process to a network namespace of its own; returns whether that took a user namespace too.

    ``root`` False takes a user namespace in any case. Raises :class:`LocalError` if the kernel allows neither.
    """
    if root:
        with suppress(OSError):  # not allowed, or no more of them: as an ordinary user, then
            kernel.unshare(kernel.CLONE_NEWNET)
            return False
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET)
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    except OSError as error:
        what = f"network namespaces are allowed neither to this user nor in a user namespace: {error.strerror}"
        fix = "run as root, or let users have namespaces (sysctl user.max_user_namespaces, AppArmor)"
        raise LocalError(what, where="testbed", fix=fix) from error
    return True


def tun_opens() -> bool:
    """Whether this process may open the TUN device."""
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def add_host(number: int, address: str, own: int, *, tun: bool) -> tuple[int, Port, list[str]]:
    """Make a host: returns a descriptor of its namespace, the router's end of its link, and remarks.

    ``own`` is the namespace of the router process, where the thread is when this is done, also if it fails.
    """
    outer = f"h{number}"
    kernel.unshare(kernel.CLONE_NEWNET)
    try:
        network = kernel.own_network()
        remarks = _apply_settings()
        with Netlink() as netlink:
            netlink.bring_up("lo")
        port: Port | None = TunPort() if tun else None
        hardware_address = b"" if tun else VethPort.make_link(outer, own)
        with Netlink() as netlink:
            netlink.add_address(HOST_LINK, address)
            netlink.add_default_route(HOST_LINK, address)
    finally:
        kernel.enter_network(own)
    return network, port or VethPort(outer, hardware_address), remarks


def _apply_settings() -> list[str]:
    remarks = []
    for name, value in _SETTINGS.items():
        try:
            (_NETWORK_SETTINGS / name).write_text(value, encoding="ascii")
        except OSError as error:
            if error.errno != ENOENT:  # this kernel does not know it
                remarks.append(f"{name} could not be set: {error.strerror}")
    return remarks


def kill_all_inside(networks: Collection[int]) -> None:
    """Kill every process in the namespaces behind these descriptors, and those on their way in; see them gone.

    The descriptors are closed first, so that nobody can enter any more.
    """
    held = [os.dup(network) for network in networks]  # or the inode numbers could pass to namespaces of others
    for network in networks:
        os.close(network)
    inodes = frozenset(os.fstat(network).st_ino for network in held)
    entering = f"--net=/proc/{os.getpid()}/fd/".encode()
    for _ in range(_REAP_ROUNDS):
        found = [each for each in _processes() if _network_of(each) in inodes or entering in _arguments_of(each)]
        if not found:
            return
        for process in found:
            _kill(process)


def _processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and int(each.name) != os.getpid()]


def _network_of(process: int) -> int | None:
    try:
        return Path(f"/proc/{process}/ns/net").stat().st_ino
    except OSError:  # gone, or not ours to look at, so not one of ours
        return None


def _arguments_of(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # gone
        return b""


def _kill(process: int) -> None:
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(_REAP_WAIT_MS)
    finally:
        os.close(handle)
