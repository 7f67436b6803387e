"""Ready-made topologies: the seeds' networks, the demo's, and as many others as there are seeds."""

import random as _random
from collections.abc import Iterable

from footloose.testbed.topology import Host, Link, Role, Router, Topology


def _chain(names: Iterable[str], delays_ms: Iterable[float]) -> list[Link]:
    """Links between each name and the next."""
    listed = list(names)
    return [Link(a, b, delay) for a, b, delay in zip(listed, listed[1:], delays_ms, strict=False)]


def icon() -> Topology:
    """The network of the ICON Python Orchestrator thesis, figures 3.6 and 4.1.

    Round trips: client-root 92, client-edge 14 and edge-root 102 ms.
    A home provider (``root``) abroad; a provider (``edge``) near the user (``client``). Packets between them climb and
    descend the hierarchy of providers.
    """
    access, carrier = "access.example", "carrier.example"
    cloud, datacentre = "cloud.example", "datacentre.example"
    routers = (
        Router("isp-access", domain=access),
        Router("isp-core", domain=access),
        Router("national-1", domain=carrier),
        Router("national-2", domain=carrier),
        Router("transit-1", domain=carrier),
        Router("transit-2", domain=carrier),
        Router("abroad-1", domain=carrier),
        Router("cloud-border", domain=cloud),
        Router("cloud-gw", domain=cloud),
        Router("dc-border", domain=datacentre),
        Router("dc-gw", domain=datacentre),
    )
    hosts = (
        Host("root", Role.HOME, "abroad", cloud),
        Host("edge", Role.SITE, "near", datacentre),
        Host("client", Role.USER, "near", access),
    )
    to_root = ("isp-core", "national-1", "national-2", "transit-1", "transit-2", "abroad-1", "cloud-border", "cloud-gw")
    links = (
        *_chain(("client", "isp-access", "isp-core"), (0.5, 0.5)),
        *_chain((*to_root, "root"), (2, 3, 8, 20, 6, 4, 1.5, 0.5)),
        *_chain(("isp-core", "dc-border", "dc-gw", "edge"), (4, 1.5, 0.5)),
    )
    return Topology("icon", routers, hosts, links)


_DEMO_REGIONS = (
    # region, delay from the exchange to its core (ms), from core to user access, from core to the site, has a site
    ("north", 6.0, (1.5, 2.5), 1.0, True),
    ("east", 9.0, (1.0, 3.0), 0.8, True),
    ("south", 12.0, (2.0, 4.5), 1.2, True),
    ("west", 8.0, (1.0, 2.0), 0.6, True),
    ("isles", 16.0, (2.0, 3.0), 0.0, False),
)


def demo() -> Topology:
    """The demo's network: a home about 100 ms from all users, four regions with a site each, one without.

    In each region two users, 4 to 12 ms from the region's site. Of the routers on the way some keep silent and some
    limit their ICMP. ``isles`` has no site; the nearest to its users are in other regions.
    """
    routers = [
        Router("home-gw", domain="faraway.example"),
        Router("home-border", domain="faraway.example"),
        Router("ocean-1", domain="backbone.example"),
        Router("ocean-2", silent=True),
        Router("exchange", domain="backbone.example"),
    ]
    hosts = [Host("home", Role.HOME, "faraway", "faraway.example")]
    trunk = ("home", "home-gw", "home-border", "ocean-1", "ocean-2", "exchange")
    links = _chain(trunk, (0.5, 2, 6, 21, 6))
    for region, to_core, to_users, to_site, has_site in _DEMO_REGIONS:
        domain = f"{region}.example"
        # The silent router and the limited one are in different regions, so that each can be seen alone.
        routers.append(Router(f"{region}-border", domain=domain, silent=region == "south"))
        routers.append(Router(f"{region}-core", domain=domain))
        links += _chain(("exchange", f"{region}-border", f"{region}-core"), (to_core - 1, 1))
        for number, delay in enumerate(to_users, start=1):
            limited = 20.0 if region == "west" else None
            routers.append(Router(f"{region}-access-{number}", domain=domain, icmp_per_s=limited, icmp_burst=12))
            hosts.append(Host(f"{region}-user-{number}", Role.USER, region, domain))
            links += _chain((f"{region}-core", f"{region}-access-{number}", f"{region}-user-{number}"), (delay, 0.5))
        if has_site:
            routers.append(Router(f"{region}-dc", domain=domain))
            hosts.append(Host(f"{region}-site", Role.SITE, region, domain))
            links += _chain((f"{region}-core", f"{region}-dc", f"{region}-site"), (to_site * 0.5, to_site * 0.5))
    return Topology("demo", tuple(routers), tuple(hosts), tuple(links))


def tree(
    routers: int = 240, hosts: int = 24, *, fanout: int = 3, delay_ms: tuple[float, float] = (0.5, 8.0), seed: int = 1
) -> Topology:
    """A tree of routers (ExEC §3 has 240), each link's delay drawn evenly from ``delay_ms``.

    ``home`` hangs on the root; the other hosts hang on leaves spread evenly, every third one a site.
    """
    draw = _random.Random(seed)  # noqa: S311 - a topology is no secret
    names = [f"r{index}" for index in range(routers)]
    links = [
        Link(names[(index - 1) // fanout], names[index], round(draw.uniform(*delay_ms), 3))
        for index in range(1, routers)
    ]
    first_leaf = (routers - 2) // fanout + 1 if routers > 1 else 0
    leaves = names[first_leaf:]
    others = [
        Host(f"site{index}", Role.SITE) if index % 3 == 0 else Host(f"user{index}", Role.USER)
        for index in range(1, hosts)
    ]
    links.append(Link("home", names[0], 0.5))
    links += [
        Link(host.name, leaves[index * len(leaves) // max(1, len(others))], 0.5) for index, host in enumerate(others)
    ]
    listed = (Host("home", Role.HOME), *others)
    return Topology("tree", tuple(Router(name, domain="tree.example") for name in names), listed, tuple(links), seed)


def random(
    routers: int = 30,
    hosts: int = 10,
    *,
    extra_links: int = 15,
    delay_ms: tuple[float, float] = (0.5, 15.0),
    jitter: float = 0.0,
    loss: float = 0.0,
    seed: int = 1,
) -> Topology:
    """A connected random graph: a random tree and ``extra_links`` more. ``jitter`` is a part of each link's delay.

    Its figures, like the graph, follow from ``seed`` alone.
    """
    draw = _random.Random(seed)  # noqa: S311 - a topology is no secret
    names = [f"r{index}" for index in range(routers)]
    pairs = {frozenset((names[draw.randrange(index)], names[index])): None for index in range(1, routers)}
    for _ in range(extra_links if routers > 1 else 0):
        pairs.setdefault(frozenset(draw.sample(names, 2)))

    def link(a: str, b: str) -> Link:
        delay = round(draw.uniform(*delay_ms), 3)
        return Link(a, b, delay, jitter_ms=round(delay * jitter, 3), loss=loss)

    links = [link(*sorted(pair)) for pair in pairs]
    listed = tuple(Host(f"h{index}") for index in range(hosts))
    links += [link(host.name, draw.choice(names)) for host in listed]
    return Topology("random", tuple(Router(name) for name in names), listed, tuple(links), seed)
