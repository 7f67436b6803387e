"""What must hold of a site whatever befalls it, as functions that fail with what does not hold."""

from typing import NamedTuple

from node_sites import Site
from recovery_world import FAR_USER, USER, Land, way

from footloose.model.app import ServiceId


class Instances(NamedTuple):
    """What a site runs, by what changes when it is stopped: its workers' processes, and since when its services run."""

    workers: tuple[tuple[int, int | None, int], ...]
    since: dict[ServiceId, float]


def instances(land: Land, site: Site) -> Instances:
    """What it runs now of the assignments."""
    services = {one.service for one in land.assignments}
    workers = tuple((one.index, one.pid, one.restarts) for one in site.admin.status().workers)
    own = {one.service: one.since for one in site.view().services if one.site == site.node and one.service in services}
    return Instances(workers, own)


def every_assignment_serves(land: Land, user: str = USER) -> None:
    """A user at the edge's side gets each service that runs there, from there and at the first request."""
    for one in land.assignments:
        urls, answer = way(land.net, user, land.edge.url(one.service))
        assert (urls, answer.status) == ([land.edge.url(one.service)], 200), one.service
        assert one.text in answer.body


def nothing_healthy_was_stopped(land: Land, site: Site, before: Instances) -> None:
    """The same processes serve, and what ran then has run since."""
    assert instances(land, site) == before


def the_same_leases_go_on(land: Land, since: float) -> None:
    """The home neither gave up a copy at the edge nor asked for another since then; both sides know each lease."""
    for service in land.copies:
        assert land.decided(service, "agree", "retire", since=since) == []
        lease_known_to_both_sides(land, service)


def lease_known_to_both_sides(land: Land, service: ServiceId) -> None:
    """The home counts on the copy, and the edge runs it as that copy, at the address the lease names."""
    given, held = land.home.places(service)["a-site"], land.edge.places(service)["a-site"]
    assert (given.state, held.role, held.state) == ("serving", "copy", "running"), service
    assert given.url == held.url
    assert given.lease_ends_at is not None


def no_redirect_loops(land: Land) -> None:
    """Whoever comes to either site, from either side, is sent on only so often, never to the same twice, and served."""
    for user in (USER, FAR_USER):
        for site in (land.home, land.edge):
            for service in land.copies:
                urls, answer = way(land.net, user, site.url(service))
                assert answer.status == 200, (user, urls)
                assert len(set(urls)) == len(urls)
