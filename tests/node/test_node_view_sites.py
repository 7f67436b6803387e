"""Where sites hang on the tree that people are shown."""

from footloose.core.identity import NodeId
from footloose.model.network import Hop, Prefix, Route, router_id
from footloose.model.site import Endpoint, Sighting, SiteRecord, Source
from footloose.node.view import view_of
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.memory import Located
from footloose.placement.registry import placer

HERE, EDGE = NodeId("here"), NodeId("edge")
API = Endpoint("10.0.9.1", 7443)
HOPS = ("10.0.0.1", "10.0.1.1", "10.0.2.1")
PREFIX = Prefix("10.9.0.0/24")


def sites_at(*seen: tuple[str, float | None]) -> dict[str, tuple[NodeId, ...]]:
    """Where the site is drawn that was sighted at these routers, each from another prefix, with these round trips."""
    loop = Loop(HERE, placer, 0.0)
    route = Route("10.9.0.7", tuple(Hop(ttl, hop, 10.0 * ttl) for ttl, hop in enumerate(HOPS, 1)), 40.0)
    loop.tree.update(PREFIX, route, 0.0)
    for number, (hop, rtt_ms) in enumerate(seen):
        sighting = Sighting(API, Source.DNS, EDGE, router=router_id(hop), rtt_ms=rtt_ms)
        prefix = Prefix(f"10.9.{number}.0/24")
        loop.located[prefix] = Located(prefix, "10.9.0.7", route, sightings={EDGE: sighting})
    own = SiteRecord(HERE, HERE, "here", API, "http://10.0.9.2", 0.0, 1.0)  # type: ignore[arg-type]
    return {node.id: node.sites for node in view_of(loop, own, {}, 1.0).nodes if EDGE in node.sites}


def test_a_site_hangs_at_the_router_it_has_the_least_round_trip_to() -> None:
    assert sites_at((HOPS[0], 5.0), (HOPS[1], 2.0), (HOPS[2], None)) == {router_id(HOPS[1]): (EDGE,)}


def test_a_site_found_without_a_round_trip_hangs_at_the_last_router_it_was_found_at() -> None:
    assert sites_at((HOPS[0], None), (HOPS[2], None), (HOPS[1], None)) == {router_id(HOPS[2]): (EDGE,)}
