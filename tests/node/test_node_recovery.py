"""Nodes killed as by a power cut: all they had agreed to run serves again from their own disks, with no network."""

import threading

import pytest
from node_sites import Site, Town, Visitor, answering, crash, eventually, follow, get, moved

from footloose.core.errors import FootlooseError
from footloose.model.app import ServiceId

pytestmark = pytest.mark.slow


def test_home_apps_and_copies_serve_again_from_their_own_disks_with_no_network(town: Town) -> None:
    home, edge = town.pair()
    service = home.deploy(answering("hello"))
    own = edge.deploy(answering("at home at edge"), name="own")
    moved(home, edge, service)
    lease = home.places(service)["edge"].lease_ends_at
    crash(home, edge)
    edge.restart()  # alone: nobody else is there
    assert get(edge.url(service)).body == "hello"
    assert get(edge.url(own)).body == "at home at edge"
    crash(edge)
    home.restart()  # alone as well
    assert get(home.url(service)).body == "hello"
    assert home.places(service)["edge"].state == "suspect"
    edge.restart()
    eventually(lambda: "edge" in home.serving(service))
    resumed = home.places(service)["edge"].lease_ends_at
    assert lease is not None and resumed is not None and resumed >= lease
    assert follow(home.url(service)).body == "hello"
    assert [one.role for one in edge.view().services if one.service == service] == ["copy"]


def test_reconnecting_stops_nothing_that_is_healthy(town: Town) -> None:
    home, edge = town.pair()
    service = home.deploy(answering("hello"))
    moved(home, edge, service)
    workers = edge.worker_pids()
    with Visitor(edge.url(service)) as visitor:
        crash(home)
        asked = len(visitor.answers)
        eventually(lambda: len(visitor.answers) > asked + 20)
        home.restart()
        eventually(lambda: "edge" in home.serving(service))
        asked = len(visitor.answers)
        eventually(lambda: len(visitor.answers) > asked + 20)
    assert visitor.failures == []
    assert edge.worker_pids() == workers
    assert "stopping" not in edge.log()


def test_a_move_by_hand_and_a_drain_outlast_a_restart(town: Town) -> None:
    home, edge = town.pair()
    service = home.deploy(answering("hello"))
    moved(home, edge, service)
    crash(home)
    home.restart()
    eventually(lambda: "edge" in home.serving(service))
    eventually(lambda: get(home.url(service)).status == 302)
    edge.admin.drain(None, resume=False)
    eventually(lambda: not edge.view().services)
    crash(edge)
    edge.restart()
    assert edge.admin.status().draining == "drained by its operator"
    edge.admin.drain(None, resume=True)
    crash(edge)
    edge.restart()
    assert edge.admin.status().draining is None


def test_a_lease_of_a_service_that_is_gone_is_given_back_after_a_restart(town: Town) -> None:
    home, edge = town.pair()
    service = home.deploy(answering("hello"))
    moved(home, edge, service)
    crash(edge)  # so that it cannot be told
    home.admin.remove(ServiceId(service.split("/")[0]))
    crash(home)
    edge.restart()
    assert get(edge.url(service)).status == 200
    home.restart()
    eventually(lambda: not edge.view().services)


class Operator(threading.Thread):
    """Deploys one version after another and moves users to and fro, until the node is killed under it."""

    def __init__(self, home: Site, edge: Site, first: int) -> None:
        super().__init__()
        self._home = home
        self._edge = edge
        self._first = first
        self.begun = threading.Event()
        self.tried = self.acknowledged = first - 1
        self.service: ServiceId | None = None

    def run(self) -> None:
        """Deploy and move until nobody answers."""
        try:
            for number in range(self._first, self._first + 1000):
                self.tried = number
                self.begun.set()
                self.service = self._home.deploy(answering(f"version {number}"), name="shop")
                self.acknowledged = number
                self._home.move(self.service, self._edge if number % 2 else self._home)
        except FootlooseError:
            return


def test_killed_at_any_moment_a_node_serves_what_it_had_acknowledged(town: Town) -> None:
    home, edge = town.pair()
    version = 1
    for moment in range(10):
        operator = Operator(home, edge, version)
        operator.start()
        operator.begun.wait()
        threading.Event().wait(0.017 * moment)  # at another moment each time
        crash(home, *([edge] if moment % 3 == 0 else []))
        operator.join()
        home.restart()
        if moment % 3 == 0:
            edge.restart()
        if operator.service is not None:
            served = follow(home.url(operator.service))
            assert served.status == 200
            assert operator.acknowledged <= int(served.body.removeprefix("version ")) <= operator.tried
        version = operator.tried + 1
        assert "Traceback" not in home.log() + edge.log()
