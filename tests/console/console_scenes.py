"""Views and decisions as a site would give them, for the page to show."""

import base64
import hashlib
import random
from collections.abc import Mapping, Sequence

import msgspec

from footloose.core.identity import NodeId
from footloose.model.app import ServiceId
from footloose.model.decision import Decision
from footloose.model.network import Prefix
from footloose.model.view import View, ViewNode, ViewService, ViewSite, ViewUser

BEGAN = 1_790_000_000.0


def node_id(name: str) -> NodeId:
    """The same made-up id for the same name."""
    return NodeId(base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=").lower())


HOME = node_id("home")
SERVICE = ServiceId("pulse-abcdefghijklmnop/web")
PREFIXES = [Prefix(f"203.0.{number}.0/24") for number in (10, 11, 12, 20, 21, 30)]
FIRST_MS = (101.0, 98.0, 104.0, 62.0, 64.0, 31.0)
NOW_MS = (7.2, 6.1, 9.4, 14.0, 17.3, 31.0)


def small(step: int = 0, names: Mapping[str, str] | None = None) -> View:
    """A home site, two branches of routers and six prefixes. From step 1 on, the far ones are served near them."""
    names = {"lyon": "lyon", "oslo": "oslo", "depot": "depot", "home": "home"} | dict(names or {})
    lyon, oslo, depot = node_id("lyon"), node_id("oslo"), node_id("depot")
    nodes = [ViewNode("root", "site", names["home"], None, 0.0, (HOME,))]

    def router(name: str, parent: str, rtt_ms: float | None, *sites: NodeId) -> None:
        nodes.append(ViewNode(name, "router", name, parent, rtt_ms, sites))

    router("10.0.0.0/29", "root", 2.0)
    router("10.0.1.0/29", "10.0.0.0/29", 21.0)
    router("10.0.2.0/29", "10.0.1.0/29", 60.0)
    router("10.0.3.0/29", "10.0.2.0/29", 94.0, lyon)
    router("10.0.4.0/29", "10.0.3.0/29", None)
    router("10.0.5.0/29", "10.0.1.0/29", 48.0, oslo)
    router("10.0.6.0/29", "10.0.0.0/29", 12.0, depot)
    parents = ["10.0.4.0/29"] * 3 + ["10.0.5.0/29"] * 2 + ["10.0.6.0/29"]
    for prefix, parent, first in zip(PREFIXES, parents, FIRST_MS, strict=True):
        nodes.append(ViewNode(prefix, "prefix", prefix, parent, first))
    served = [lyon, lyon, lyon, oslo, oslo, HOME] if step else [HOME] * 6
    now = NOW_MS if step else FIRST_MS
    users = tuple(
        ViewUser(
            SERVICE,
            prefix,
            prefix.replace(".0/24", ".7"),
            site,
            BEGAN + step,
            requests=40 + 37 * place + step,
            errors=2 if place == 4 else 0,
            rtt_ms=rtt + (step * 7 + place * 3) % 5 * 0.3,
            first_rtt_ms=first,
        )
        for place, (prefix, site, rtt, first) in enumerate(zip(PREFIXES, served, now, FIRST_MS, strict=True))
    )
    state = "serving" if step else "known"
    sites = (
        ViewSite(
            HOME, names["home"], "http://192.0.2.1:8080", "self", "192.0.2.1:8443", "paris", 0.0, None, (SERVICE,)
        ),
        ViewSite(lyon, names["lyon"], "http://192.0.2.2:8080", state, "", "lyon", 0.04, 6.1, (SERVICE,), ("dht",)),
        ViewSite(
            oslo, names["oslo"], "http://192.0.2.3:8080", state, "", "oslo", 0.055, 14.0, (SERVICE,), ("dht", "dns")
        ),
        ViewSite(depot, names["depot"], "http://192.0.2.4:8080", "refused", "", "", 0.9, 12.9, (), ("static",)),
        ViewSite(node_id("far"), "elsewhere", "http://192.0.2.5:8080", "known", "", "", 0.01, 71.0, (), ("dns",)),
    )
    services = [
        ViewService(SERVICE, HOME, names["home"], "home", "running", "http://192.0.2.1:8080/", BEGAN - 900, 6, 900)
    ]
    if step:
        services += [
            ViewService(
                SERVICE, node, names[name], "copy", "running", f"http://{name}/", BEGAN - 60, users_, 310, BEGAN + 48
            )
            for name, node, users_ in (("lyon", lyon, 3), ("oslo", oslo, 2))
        ]
    return View(BEGAN + step, HOME, names["home"], tuple(nodes), sites, tuple(services), users)


def _copy(node: NodeId, name: str, users: int) -> ViewService:
    url = f"http://192.0.2.9/{SERVICE}/"
    return ViewService(SERVICE, node, name, "copy", "running", url, BEGAN - 60, users, 310, BEGAN + 48)


def decisions() -> list[Decision]:
    """How the far users came to be served near them."""

    def decision(after_s: float, step: str, subject: str, outcome: str, reason: str, **inputs: object) -> Decision:
        return Decision(BEGAN + after_s, HOME, SERVICE, step, subject, outcome, reason, inputs)

    lyon, far, at_lyon = node_id("lyon"), PREFIXES[0], f"http://192.0.2.2:8080/{SERVICE}/"
    return [
        decision(0.1, "observe", far, "new", "First request from this prefix.", requests=1, rtt_ms=101.0),
        decision(0.4, "trace", far, "6 hops", "The route was not known.", hops=6, rtt_ms=101.2),
        decision(0.9, "discover", "10.0.3.0/29", "1 site", "The DHT has one record under this router.", records=1),
        decision(1.0, "measure", lyon, "7.2 ms", "A probe from the candidate itself.", probes=[7.4, 7.2, 7.3]),
        decision(
            1.1,
            "choose",
            lyon,
            "chosen",
            "Three prefixes gain 93 ms each; no other candidate gains more than 40 ms.",
            gain_ms=93.1,
            candidates={lyon: 93.1, node_id("oslo"): 39.8},
            demand=dict.fromkeys(PREFIXES[:3], 1.0),
        ),
        decision(1.3, "agree", lyon, "lease", "Its price is within the budget.", price_per_hour=0.04, term_s=60),
        decision(1.6, "deploy", lyon, "running", "The artifact was fetched and compiled there.", seconds=0.21),
        decision(1.7, "redirect", far, at_lyon, "The copy answers 93 ms sooner.", before_ms=101.0, after_ms=7.2),
        decision(2.2, "retire", node_id("oslo"), "kept", "It had users 4 s ago.", idle_s=4),
    ]


def crowd(seed: int = 7, sites: int = 40, prefixes: int = 100, routers: int = 240) -> View:
    """A site in the middle of a large network: many sites, prefixes and routers, some of them silent."""
    lots = random.Random(seed)
    nodes = [ViewNode("root", "site", "exchange", None, 0.0)]
    far = {"root": 0.0}
    names = ["root"]
    for number in range(routers):
        parent = names[max(0, len(names) - 1 - int(lots.expovariate(1 / 26)))] if number > 6 else "root"
        name = f"10.{number // 32}.{number % 32 * 8}.0/29"
        far[name] = far[parent] + lots.choice((0.4, 1.0, 2.5, 6.0, 14.0, 22.0)) * (0.6 + lots.random())
        rtt_ms = None if lots.random() < 0.15 else far[name] + lots.random() * 0.4
        nodes.append(ViewNode(name, "router", name, parent, rtt_ms))
        names.append(name)
    hosts = {node_id(f"site {number}"): lots.choice(names[1:]) for number in range(sites)}
    at_router = {name: tuple(host for host, place in hosts.items() if place == name) for name in names}
    nodes = [msgspec.structs.replace(node, sites=at_router[node.id]) for node in nodes]
    serving = list(hosts)[:9]
    users = []
    for number in range(prefixes):
        prefix, parent = Prefix(f"198.{number // 200}.{number % 200}.0/24"), lots.choice(names[20:])
        first = far[parent] + 1 + lots.random() * 9
        nodes.append(ViewNode(prefix, "prefix", prefix, parent, first))
        site = lots.choice([HOME, *serving, *serving])
        now = first if site == HOME else max(1.0, first * lots.uniform(0.05, 0.5))
        address = prefix.replace(".0/24", ".9")
        users.append(
            ViewUser(SERVICE, prefix, address, site, BEGAN, lots.randrange(9000), 0, round(now, 1), round(first, 1))
        )
    views = [ViewSite(HOME, "exchange", "http://192.0.2.1:8080", "self", "", "fra", 0.0, None, (SERVICE,))]
    for number, (host, place) in enumerate(hosts.items()):
        state = "serving" if host in serving else lots.choice(("known", "known", "known", "refused"))
        price, rtt_ms = lots.randrange(1, 90) / 1000, round(far[place] + 0.8, 1)
        gateway = f"http://198.51.100.{number}:8080"
        views.append(ViewSite(host, f"edge-{number:02}", gateway, state, "", "eu", price, rtt_ms, (), ("dht",)))
    services = [ViewService(SERVICE, HOME, "exchange", "home", "running", "http://192.0.2.1/", BEGAN, prefixes, 64000)]
    services += [_copy(host, f"edge-{number:02}", 11) for number, host in enumerate(serving)]
    return View(BEGAN, HOME, "exchange", tuple(nodes), tuple(views), tuple(services), tuple(users))


def later(view: View, seconds: float, rtts: Sequence[float]) -> View:
    """The same view some seconds on, its users' latencies now these."""
    users = tuple(msgspec.structs.replace(user, rtt_ms=rtt_ms) for user, rtt_ms in zip(view.users, rtts, strict=True))
    return msgspec.structs.replace(view, at=view.at + seconds, users=users)
