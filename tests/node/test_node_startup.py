"""A node that cannot start says why and what to do, and leaves nothing running; one on a full disk serves on."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_sites import GATEWAY_PORT, Site, Town, answering, crash, eventually, get, moved, taken
from node_sites import service as code_of

from footloose.cli.exits import Exit
from footloose.testbed.sites import API_PORT, DHT_PORT
from footloose.transport.problems import Refused

pytestmark = pytest.mark.slow
PORTS = {"gateway": GATEWAY_PORT, "api": API_PORT, "dht": DHT_PORT, "console": 8090}


def not_started(state: Path, address: str, *arguments: str) -> str:
    """What a node says when it cannot start: what is wrong, and in a second line the fix."""
    command = [sys.executable, "-m", "footloose", "node", "--state", str(state), "--address", address]
    before = running_in(state)
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (Exit.FAILED, "")
    error, *fix = done.stderr.strip().splitlines()
    assert error.startswith("error: ")
    assert [line.split(":")[0].strip() for line in fix] in ([], ["fix"]), done.stderr
    assert running_in(state) == before
    return done.stderr


def running_in(state: Path) -> list[int]:
    """Processes that know of a state directory: a node, its workers, its compiler."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(state).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


@pytest.mark.parametrize("part", PORTS)
def test_a_port_that_is_taken_is_named(part: str, town: Town, tmp_path: Path) -> None:
    address = town.address()
    kind = socket.SOCK_DGRAM if part == "dht" else socket.SOCK_STREAM
    console = ("--console", f"{address}:{PORTS['console']}")
    with contextlib.contextmanager(taken)(address, PORTS[part], kind):
        said = not_started(tmp_path / "state", address, "--gateway-port", str(GATEWAY_PORT), *console)
    assert f"{address}:{PORTS[part]}" in said


def test_an_address_this_machine_does_not_have_is_named(tmp_path: Path) -> None:
    said = not_started(tmp_path / "state", "192.0.2.1")
    assert "192.0.2.1" in said


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--region", "\x1b[31mred"), "not printable"),
        (("--address", "0.0.0.0"), "not the address of one host"),
    ],
)
def test_a_site_that_others_would_refuse_does_not_start(arguments: tuple[str, str], why: str, tmp_path: Path) -> None:
    assert why in not_started(tmp_path / "state", "127.0.0.1", *arguments)


def test_a_second_node_on_one_state_directory_is_refused_and_harms_nothing(town: Town) -> None:
    site = town.start("site").ready()
    service = site.deploy(answering("hello"))
    said = not_started(site.process.state, town.address())
    assert f"in use by another node (process {site.process.pid})" in said
    assert get(site.url(service)).body == "hello"


def test_a_key_that_cannot_be_read_is_not_replaced(town: Town) -> None:
    site = town.start("site").ready()
    address = site.process.place.address
    site.process.stop()
    key = site.process.state / "identity.pem"
    genuine = key.read_bytes()
    key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nnot a key\n-----END PRIVATE KEY-----\n")
    assert str(key) in not_started(site.process.state, address)
    key.unlink()
    assert "identity.pem" in not_started(site.process.state, address)
    key.write_bytes(genuine)
    key.chmod(0o644)
    assert "chmod 600" in not_started(site.process.state, address)
    key.chmod(0o600)
    node = site.node
    assert site.restart().node == node


def test_a_damaged_database_is_moved_aside_and_all_that_ran_runs_again(town: Town) -> None:
    site = town.start("site").ready()
    service = site.deploy(answering("hello"))
    node = site.node
    site.process.stop()
    database = site.process.state / "site.db"
    database.write_bytes(b"not a database" * 1000)
    site.restart()
    assert site.node == node
    assert get(site.url(service)).body == "hello"
    assert "the site's database was damaged" in site.log()
    assert "Traceback" not in site.log()
    assert list(site.process.state.glob("site.db.damaged-*"))


def test_of_a_damaged_record_the_rest_runs_again_and_the_operator_is_told(town: Town) -> None:
    site = town.start("site").ready()
    lost = site.deploy(answering("lost"), name="first")
    kept = site.deploy(answering("kept"), name="second")
    site.process.stop()
    record = site.process.state / "intent.log"
    record.write_bytes(record.read_bytes().replace(b"first-", b"f1rst-", 1))
    site.restart()
    assert get(site.url(kept)).body == "kept"
    assert get(site.url(lost)).status == 404
    loss = site.admin.status().loss
    assert loss is not None and loss in site.log()
    assert "entry 1 is missing (it spoke of app f1rst-" in loss
    assert "lost      " in site.cli("status").stdout
    assert "Traceback" not in site.log()
    assert list(site.process.state.glob("intent.log.damaged-*"))
    assert site.deploy(answering("lost"), name="first") == lost
    site.process.stop()
    site.restart()
    assert site.admin.status().loss is None
    assert (get(site.url(lost)).body, get(site.url(kept)).body) == ("lost", "kept")


def test_what_cannot_be_run_again_is_named_and_given_up_and_the_rest_runs(town: Town) -> None:
    home, edge = town.pair()
    service = home.deploy(answering("lost"))
    own = edge.deploy(answering("kept"), name="own")
    moved(home, edge, service)
    crash(edge)
    lost = home.view().services[0].service
    artifacts = edge.process.state / "artifacts"
    for file in artifacts.iterdir():
        if file.read_bytes() == answering("lost"):
            file.unlink()
    for file in (edge.process.state / "compiled").iterdir():
        file.unlink()
    edge.restart()
    assert get(edge.url(own)).body == "kept"
    assert f"cannot run {lost} again" in edge.log()
    sent_back = get(edge.url(service))
    assert (sent_back.status, sent_back.location) == (302, home.url(service))
    eventually(lambda: "no such lease" in home.explained("app"))  # it is told that the lease is no more
    eventually(lambda: get(home.url(service)).body == "lost")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that is soon full."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], check=False)
    if done.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path, leaving: int) -> Path:
    """Use up all but ``leaving`` bytes of a disk."""
    filler = disk / "filler"
    room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - leaving
    with filler.open("ab") as file:
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), file.tell(), max(room, 1))
        while not leaving:
            try:
                os.write(file.fileno(), bytes(512))
            except OSError:
                break
    return filler


@pytest.mark.root
def test_on_a_full_disk_new_apps_are_refused_and_what_runs_goes_on(small_disk: Path, town: Town) -> None:
    edge = town.start("edge", state=small_disk / "edge").ready()
    home = town.start("home", "--site", str(edge.api)).ready()
    home.knows(edge)
    own = edge.deploy(answering("own"), name="own")
    service = home.deploy(answering("hello"))
    moved(home, edge, service)
    filler = fill(small_disk, leaving=1024 * 1024)  # records still fit, code does not
    with pytest.raises(Refused, match="the disk is full"):
        edge.deploy(answering("too much"), name="more")
    refused = home.deploy(answering("elsewhere"), name="other")
    home.move(refused, edge)
    eventually(lambda: "the disk is full" in home.explained("other"))
    fill(small_disk, leaving=0)  # nothing fits any more
    with pytest.raises(Refused, match="no space left"):
        for _ in range(20):  # the block that the record ends in may have room for a few more
            edge.deploy_services("again", code_of(answering("own")))
    users_go_on(edge, own, home, service)
    home.move(service, home)  # a lease can end even if that cannot be written down
    eventually(lambda: service not in {one.service for one in edge.view().services})
    filler.unlink()
    edge.deploy(answering("room again"), name="more")
    assert "Traceback" not in edge.log()
    assert [worker.restarts for worker in edge.admin.status().workers] == [0]


def users_go_on(edge: Site, own: str, home: Site, service: str) -> None:
    """Users of the home app and of the copy are served, and their customer is told of them."""
    before = home.places(service)["edge"].requests  # type: ignore[index,arg-type]
    for _ in range(20):
        assert get(edge.url(own)).status == 200  # type: ignore[arg-type]
        assert get(edge.url(service)).status == 200  # type: ignore[arg-type]
    eventually(lambda: home.places(service)["edge"].requests >= before + 20)  # type: ignore[index,arg-type]
