"""A service goes to another site and back, on real nodes; its users lose nothing on the way."""

import json
from collections.abc import Callable, Iterator

import pytest
from node_sites import Site, Town, Visitor, answering, eventually, follow, get, known_to, moved, pulse
from websockets.sync.client import ClientConnection, connect

from footloose.model.app import ServiceId
from footloose.testbed.sites import Sites

pytestmark = pytest.mark.slow
Pair = tuple[Site, Site]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A home and an edge that most tests here share, each with an app of its own."""
    with Sites() as sites:
        home, edge = Town(sites).pair()
        yield home, edge
        assert "Traceback" not in home.log() + edge.log()


def gone_from(site: Site, service: ServiceId) -> Callable[[], bool]:
    """A look at whether a site does not run a service any more."""
    return lambda: service not in {one.service for one in site.view().services}


def talk(url: str) -> ClientConnection:
    """A WebSocket to a service at ``url``."""
    return connect(url.replace("http", "ws", 1), open_timeout=20)


def told_to_migrate(connection: ClientConnection) -> str:
    """Where the user of an open WebSocket is sent; other messages are let pass."""
    while True:
        message = json.loads(connection.recv(timeout=20))
        if message.get("footloose") == "migrate":
            return str(message["url"])


def test_a_service_moves_its_users_follow_and_come_back(pair: Pair) -> None:
    home, edge = pair
    service = home.deploy(pulse(), name="there")
    assert get(home.url(service)).status == 200
    assert home.serving(service) == {"home"}
    with talk(home.url(service, "live")) as before:
        home.move(service, edge)
        eventually(lambda: "edge" in home.serving(service))
        there = told_to_migrate(before)
        assert there == edge.url(service, "live").replace("http", "ws", 1)
        with talk(there) as after:
            after.send('{"ping":1}')
            while json.loads(after.recv(timeout=20)).get("pong") != 1:
                pass
            sent_on = get(home.url(service, "some/where?a=b"))
            assert (sent_on.status, sent_on.location) == (302, edge.url(service, "some/where?a=b"))
            assert get(home.url(service), method="POST", body=b"x").status == 307
            assert follow(home.url(service)).status == 200
            polled = eventually(lambda: (one := home.places(service)["edge"]).requests and one)
            assert polled.users == 1
            assert polled.lease_ends_at is not None
            home.move(service, home)
            eventually(lambda: home.serving(service) == {"home"})
            assert told_to_migrate(after) == home.url(service, "live").replace("http", "ws", 1)
    back = get(edge.url(service, "again"))
    assert (back.status, back.location) == (302, home.url(service, "again"))
    assert get(home.url(service)).status == 200
    eventually(gone_from(edge, service))
    assert "all users were moved to here by hand" in home.explained("there")


def test_no_request_fails_while_a_service_moves_there_and_back(pair: Pair) -> None:
    home, edge = pair
    service = home.deploy(answering("hello"), name="back")
    with Visitor(home.url(service)) as visitor:
        home.move(service, edge)
        eventually(lambda: home.places(service).get("edge") and home.places(service)["edge"].requests)
        home.move(service, home)
        eventually(lambda: home.serving(service) == {"home"} and gone_from(edge, service)())
        asked = len(visitor.answers)
        eventually(lambda: len(visitor.answers) > asked)
    assert visitor.failures == []


def test_no_request_fails_while_a_provider_is_drained_and_both_sides_say_why(pair: Pair) -> None:
    home, edge = pair
    service = home.deploy(answering("hello"), name="drained")
    moved(home, edge, service)
    with Visitor(home.url(service)) as visitor:
        edge.admin.drain(None, resume=False)
        eventually(lambda: home.serving(service) == {"home"})
        eventually(gone_from(edge, service))
        asked = len(visitor.answers)
        eventually(lambda: len(visitor.answers) > asked)
    assert visitor.failures == []
    assert edge.admin.status().draining == "drained by its operator"
    assert "the site is ending it: drained by its operator" in home.explained("drained")
    home.move(service, home)
    home.move(service, edge)
    eventually(lambda: "takes no new copies: drained by its operator" in home.explained("drained"))
    edge.admin.drain(None, resume=True)
    home.admin.drain(edge.node, resume=True)  # home had put it aside for having refused
    home.move(service, edge)
    eventually(lambda: "edge" in home.serving(service))


def test_a_customer_can_drain_a_site_for_itself(pair: Pair) -> None:
    home, edge = pair
    service = home.deploy(answering("hello"), name="avoided")
    moved(home, edge, service)
    home.admin.drain(edge.node, resume=False)
    eventually(lambda: home.serving(service) == {"home"})
    eventually(gone_from(edge, service))
    assert edge.admin.status().draining is None
    assert "drained by hand" in home.explained("avoided")
    home.admin.drain(edge.node, resume=True)


def test_a_new_version_takes_over_without_a_failed_request_and_reaches_the_copy(pair: Pair) -> None:
    home, edge = pair
    service = home.deploy(answering("first"), name="newer")
    moved(home, edge, service)
    with Visitor(home.url(service)) as visitor:
        assert home.deploy(answering("second"), name="newer") == service
        eventually(visitor.seen("second"))
        home.move(service, edge)
        eventually(lambda: "edge" in home.serving(service))
        eventually(lambda: get(edge.url(service)).body == "second")
    assert visitor.failures == []
    versions = [answer for number, answer in enumerate(visitor.answers) if answer not in visitor.answers[:number]]
    assert versions == ["first", "second"]
    # What was served first is served no more, once the new version has been seen.
    assert "first" not in visitor.answers[visitor.answers.index("second") :]


def test_an_app_removed_at_home_is_gone_everywhere(pair: Pair) -> None:
    home, edge = pair
    service = home.deploy(answering("hello"), name="removed")
    moved(home, edge, service)
    home.admin.remove(ServiceId(service.split("/")[0]))
    eventually(gone_from(edge, service))
    assert gone_from(home, service)()
    assert follow(edge.url(service)).status == 404
    again = home.deploy(answering("hello"), name="removed")
    assert again == service
    home.move(service, edge)  # and nothing of before stands in its way
    eventually(lambda: "edge" in home.serving(service))


def test_a_copy_goes_on_for_its_second_customer_when_the_first_gives_it_up(town: Town) -> None:
    edge = town.start("edge")
    middle = town.start("middle", *known_to(edge))
    home = town.start("home", *known_to(edge, middle))
    for site in (edge, middle, home):
        site.ready()
    home.knows(edge)
    home.knows(middle)
    middle.knows(edge)
    service = home.deploy(pulse())
    home.move(service, middle)
    eventually(lambda: "middle" in home.serving(service))
    middle.move(service, edge)
    eventually(lambda: "edge" in middle.serving(service))
    home.move(service, edge)  # the copy at middle ends, and with it middle's lease at edge
    eventually(lambda: home.serving(service) == {"home", "edge"} and not middle.view().services)
    with talk(edge.url(service, "live")) as there, talk(home.url(service, "live")) as here:

        def heard() -> bool:
            here.send('{"id":"a1","name":"anna","x":0.1,"y":0.2}')
            try:
                return "anna" in str(there.recv(timeout=0.3))
            except TimeoutError:
                return False

        eventually(heard)
    home.move(service, home)
    eventually(lambda: not edge.view().services)
    assert get(edge.url(service)).location == home.url(service)
