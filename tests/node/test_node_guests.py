"""Guests and workers that fail under a real node: who asked is told, the others notice nothing, and it is logged."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from node_sites import PATIENT, Town, Visitor, alive, answering, endless, eventually, get, kill, service, slow, trapping

from footloose.core.limits import DRAIN_S
from footloose.model.app import GuestKind, Limits, ServiceId

pytestmark = pytest.mark.slow


def test_failing_guests_are_told_to_their_users_logged_and_harm_nobody_else(town: Town) -> None:
    site = town.start("site", "--workers", "2").ready()
    for code in (trapping(), endless(), answering("well")):
        site.put(code)
    deployed = site.deploy_services(
        "mixed",
        service(trapping(), "trap"),
        service(endless(), "endless", limits=Limits(time_ms=50.0)),
        service(answering("well"), "good"),
    )
    trap, spin, good = (ServiceId(f"{deployed.app_id}/{name}") for name in ("trap", "endless", "good"))
    with Visitor(site.url(good)) as visitor:
        for _ in range(3):
            trapped, ended = get(site.url(trap)), get(site.url(spin))
            assert (trapped.status, ended.status) == (502, 504)
            assert "the guest" in trapped.body or "trap" in trapped.body
            assert "Traceback" not in trapped.body + ended.body
    assert visitor.failures == []

    def logged(name: str) -> list[str]:
        return [one.text for one in site.admin.logs("mixed", follow=False) if one.service.endswith(f"/{name}")]

    assert any("trap" in text for text in eventually(lambda: logged("trap")))
    assert any("time limit" in text for text in eventually(lambda: logged("endless")))
    assert logged("good") == []
    said = site.cli("logs", "mixed").stdout
    assert "time limit" in said
    assert [worker.restarts for worker in site.admin.status().workers] == [0, 0]
    eventually(lambda: {user.service for user in site.view().users if user.errors >= 3} >= {trap, spin})
    assert {user.service for user in site.view().users if user.errors} == {trap, spin}


def test_a_killed_worker_is_replaced_while_the_other_serves(town: Town) -> None:
    site = town.start("site", "--workers", "2").ready()
    app = site.deploy(answering("hello"))
    first, second = site.worker_pids()
    kill(first)
    eventually(lambda: not alive(first))
    for _ in range(50):
        answer = get(site.url(app))
        assert answer.body == "hello"
    eventually(lambda: sorted(worker.restarts for worker in site.admin.status().workers) == [0, 1])
    replaced = eventually(lambda: len(site.worker_pids()) == 2 and set(site.worker_pids()) - {first, second})
    assert len(replaced) == 1
    kill(second)
    eventually(lambda: not alive(second))
    assert get(site.url(app)).body == "hello"  # by the new one, which was told what to serve


def test_a_request_under_way_is_finished_when_the_node_is_told_to_stop(town: Town) -> None:
    site = town.start("site").ready()
    app = site.deploy(slow("at last", seconds=DRAIN_S / 2), guest=GuestKind.COMMAND, limits=PATIENT)
    node, workers = site.process.pid, site.worker_pids()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(get, site.url(app))
        eventually(lambda: [user for user in site.view().users if user.service == app])
        assert not under_way.done()
        kill(node, signal.SIGTERM)
        assert under_way.result().body == "at last"
    site.process.stop()
    assert not any(alive(pid) for pid in (node, *workers))
    with pytest.raises(ConnectionRefusedError):
        get(site.url(app))
    assert "Traceback" not in site.log()
    assert get(site.restart().url(app)).body == "at last"
