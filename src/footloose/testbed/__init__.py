"""An internet in a box: real hosts, real packets, and routers that answer a traceroute.

Start at :mod:`footloose.testbed.net`.
"""

from footloose.testbed.availability import Availability, available
from footloose.testbed.generators import demo, icon, random, tree
from footloose.testbed.net import LiveHost, Testbed
from footloose.testbed.topology import Host, Link, Role, Router, Topology, TopologyError
from footloose.testbed.topology_file import load, parse

__all__ = [
    "Availability",
    "Host",
    "Link",
    "LiveHost",
    "Role",
    "Router",
    "Testbed",
    "Topology",
    "TopologyError",
    "available",
    "demo",
    "icon",
    "load",
    "parse",
    "random",
    "tree",
]
