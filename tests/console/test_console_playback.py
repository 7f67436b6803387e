"""A recorded run on the page: over real sockets, and in a real browser."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from console_scenes import BEGAN, SERVICE, decisions, later, node_id, small
from hypothesis import given
from hypothesis import strategies as st
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait

from chromium import console_errors, view
from footloose.console.playback import Playback, playback_application
from footloose.core.errors import LocalError
from footloose.model.decision import Decision
from footloose.model.view import View
from footloose.simulation.recording import Recorder, Recording, load_recording, read_recording
from served import Served

RUN_S = 40.0


def of_lyon(step: int) -> View:
    """What the site in Lyon sees: itself, and nothing else yet."""
    seen = small(step)
    lyon = next(site for site in seen.sites if site.name == "lyon")
    me = msgspec.structs.replace(lyon, state="self")
    return msgspec.structs.replace(seen, node=lyon.node, name="lyon", sites=(me,), services=(), users=(), nodes=())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording: all is served from home, then copies are made and latencies fall."""
    file = tmp_path / "run.jsonl"
    made = sorted(decisions(), key=lambda one: one.at)
    began = made[0].at
    events: list[tuple[float, str, View | Decision]] = [(0.0, "home", small()), (0.1, "lyon", of_lyon(0))]
    events += [(10.0 + one.at - began, "home", one) for one in made]
    for second in range(20, int(RUN_S) + 1):
        users = small(1).users
        events.append((float(second), "home", later(small(1), second, [10.0 + second / 10] * len(users))))
    with Recorder(file, "promise", 17) as recorder:
        for at_s, site, what in sorted(events, key=lambda event: event[0]):
            recorder.add(at_s, site, what)
    return file


@pytest.fixture
def recording(path: Path) -> Recording:
    return load_recording(path)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def __call__(self) -> float:
        return self.time_s


async def fetch(served: Served, path: str) -> object:
    async with aiohttp.ClientSession() as session, session.get(served.url + path) as answer:
        assert answer.status == 200
        return json.loads(await answer.read())


async def events_of(
    served: Served, site: str, until: Callable[[list[tuple[str, dict[str, object]]]], bool]
) -> list[tuple[str, dict[str, object]]]:
    """What the site tells, up to when ``until`` says that it is enough."""
    got: list[tuple[str, dict[str, object]]] = []
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}{site}/v1/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        while not until(got):
            event = (await answer.content.readuntil(b"\n\n")).decode()
            name, data = event.strip().split("\n")
            got.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return got


def test_a_recording_comes_back_as_it_was_told(recording: Recording) -> None:
    assert (recording.heading.scenario, recording.heading.seed) == ("promise", 17)
    assert recording.sites == ("home", "lyon")
    assert recording.ends_s == RUN_S
    first, made = recording.lines[0], [line for line in recording.lines if line.event == "decision"]
    assert msgspec.json.decode(first.data, type=View) == small()
    assert len(made) == len(decisions())


async def test_all_that_happened_is_told_in_order(recording: Recording) -> None:
    with Served(lambda: playback_application(recording, 400.0, asyncio.get_running_loop().time)) as served:
        got = await events_of(served, "home", lambda got: bool(got) and got[-1][1].get("at") == BEGAN + 1 + RUN_S)
    told = [data for name, data in got if name == "decision"]
    assert [one["reason"] for one in told] == [one.reason for one in sorted(decisions(), key=lambda one: one.at)]
    views = [data["at"] for name, data in got if name == "view"]
    assert views == sorted(views)  # type: ignore[type-var]
    assert views[0] == small().at
    assert len(views) < 10, "of views that come faster than can be seen, the last will do"


async def test_each_site_tells_its_own(recording: Recording) -> None:
    with Served(lambda: playback_application(recording, 1000.0, asyncio.get_running_loop().time)) as served:
        got = await events_of(served, "lyon", lambda got: len(got) == 1)
        assert got[0][1]["node"] == node_id("lyon")
        shown = await fetch(served, "lyon/v1/view")
        assert isinstance(shown, dict) and shown["name"] == "lyon"
        assert await fetch(served, f"lyon/v1/explain/{SERVICE.split('/')[0]}") == []
        async with aiohttp.ClientSession() as session, session.get(served.url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/home/")


async def test_what_was_before_can_be_asked_for_at_any_time(recording: Recording) -> None:
    clock = Clock()
    app = SERVICE.split("/")[0]
    with Served(lambda: playback_application(recording, 2.0, clock)) as served:
        async with aiohttp.ClientSession() as session, session.get(served.url + "home/v1/events") as answer:
            await answer.content.readuntil(b"\n\n")
            assert await fetch(served, f"home/v1/explain/{app}") == []
            clock.time_s += 9.0
            before = await fetch(served, f"home/v1/explain/{app}")
            assert isinstance(before, list) and len(before) == len(decisions())
            assert await fetch(served, "home/v1/explain/other") == []
            assert (await fetch(served, "home/v1/view"))["at"] == small().at  # type: ignore[index]
            clock.time_s += 5.0
            assert (await fetch(served, "home/v1/view"))["at"] == BEGAN + 1 + 28.0  # type: ignore[index]
            clock.time_s += 1e6
            assert (await fetch(served, "home/v1/view"))["at"] == BEGAN + 1 + RUN_S  # type: ignore[index]


def test_the_run_begins_with_the_first_reader_and_anew_after_the_last(recording: Recording) -> None:
    clock = Clock()
    playback = Playback(recording, 10.0, clock)
    clock.time_s += 50
    assert playback.at_s == 0.0
    with playback:
        clock.time_s += 1
        assert playback.at_s == 10.0
        with playback:
            clock.time_s += 1
        assert playback.at_s == 20.0
        assert playback.wait_s(35.0) == 1.5
        assert playback.wait_s(5.0) == 0.0
    assert playback.at_s == 0.0


LINE = b'{"t":1,"site":"a","event":"view","data":%s}\n' % msgspec.json.encode(small())
HEADING = b'{"footloose_recording":1,"scenario":"x","seed":1}\n'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "run:1: not part of a recording"),
        (b"{}\n", "run:1: not part of a recording: Object missing required field `footloose_recording`"),
        (HEADING.replace(b"1,", b"2,", 1), "run:1: a recording of version 2, where 1 is understood"),
        (HEADING, "run: nothing to see"),
        (HEADING + LINE[:-20], "run:2: not part of a recording: Input data was truncated"),
        (HEADING + LINE.replace(b'"a"', b'"../a"'), "run:2: not part of a recording: Expected `str` matching regex"),
        (HEADING + LINE.replace(b'"view"', b'"sight"'), r"run:2: not part of a recording: Invalid enum value 'sight'"),
        (HEADING + LINE.replace(b'"nodes"', b'"knots"'), "run:2: data: not part of a recording"),
        (HEADING + LINE + LINE.replace(b'"t":1', b'"t":0'), "run:3: earlier than the line before"),
    ],
)
def test_a_recording_that_is_none_is_refused_with_the_line(content: bytes, expected: str) -> None:
    with pytest.raises(LocalError, match=expected) as caught:
        read_recording(io.BytesIO(content), "run")
    assert caught.value.fix


@given(st.binary(max_size=100))
def test_bytes_of_any_kind_are_no_recording(content: bytes) -> None:
    for before in (b"", HEADING, HEADING + LINE):
        try:
            assert read_recording(io.BytesIO(before + content), "run").lines
        except LocalError:
            continue
        assert not content.strip()


def test_a_recording_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot be read"):
        load_recording(tmp_path / "none")
    with pytest.raises(LocalError, match="cannot be written"), Recorder(tmp_path / "no/where", "x", 1):
        pass


@pytest.fixture
def browser(shared_browser: Chrome) -> Iterator[Chrome]:
    shared_browser.get("about:blank")
    console_errors(shared_browser)
    view(shared_browser, 1280, 800)
    yield shared_browser
    shared_browser.get("about:blank")


def words(driver: Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)"
    texts: list[str] = driver.execute_script(script, selector)
    return texts


@pytest.mark.browser
def test_the_page_plays_the_run(browser: Chrome, recording: Recording, shots: Path) -> None:
    def until(condition: Callable[[], bool]) -> None:
        WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: condition())

    with Served(lambda: playback_application(recording, 20.0, asyncio.get_running_loop().time)) as served:
        browser.get(served.url)
        until(lambda: words(browser, "#site-name") == ["home"] and words(browser, "#sum-copies") == ["0"])
        until(lambda: len(words(browser, "#decisions li")) == len(decisions()))
        until(lambda: words(browser, "#sum-copies") == ["2"])
        until(lambda: words(browser, "#sum-now") == ["14 ms"])
        assert words(browser, "#link-text") == ["Live"]
        browser.save_screenshot(str(shots / "playback.png"))
        browser.get(served.url + "lyon/")
        until(lambda: words(browser, "#site-name") == ["lyon"])
        assert console_errors(browser) == []
        browser.get("about:blank")
