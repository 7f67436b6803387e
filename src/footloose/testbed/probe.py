"""Make one host and say how: run by :func:`footloose.testbed.availability.available` as a process of its own."""

import sys

import msgspec

from footloose.core.errors import LocalError
from footloose.testbed import kernel, namespaces
from footloose.testbed.availability import Availability

_WAYS = {
    ("root", "tun"): "as root, with TUN devices",
    ("root", "veth"): "as root, with veth pairs, since /dev/net/tun does not open",
    ("user", "tun"): "in a user namespace, with TUN devices",
    ("user", "veth"): "in a user namespace, with veth pairs, since /dev/net/tun does not open",
}


def probe() -> Availability:
    """What works for this process, which is in other namespaces afterwards."""
    try:
        way = "user" if namespaces.leave_for_own(root=True) else "root"
        tun = namespaces.tun_opens()
        _, port, remarks = namespaces.add_host(0, "10.128.0.10", kernel.own_network(), tun=tun)
    except LocalError as error:
        return Availability("", "", f"{error.what}: {error.fix}" if error.fix else error.what)
    except OSError as error:
        return Availability("", "", f"the kernel does not make network links here: {error}")
    port.close()
    link = "tun" if tun else "veth"
    return Availability(way, link, "; but ".join((_WAYS[way, link], *remarks)))


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(probe()).decode())
