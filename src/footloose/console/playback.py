"""Shows a recording of a simulated run on the page: each of its sites, as time goes by in the run.

The run begins when the first page is opened; once all are closed, it begins anew with the next.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from itertools import accumulate

import msgspec
from aiohttp import web

from footloose.console.page import add_page
from footloose.core.limits import WRITE_STALL_S
from footloose.model.decision import Decision
from footloose.simulation.recording import Line, Recording

VIEW_EVERY_S = 0.1
"""Views that come faster than this, in the reader's time, are left out but for the last."""


class Playback:
    """How far the run has come. ``speed`` is how many seconds of it pass in one of ``now``."""

    def __init__(self, recording: Recording, speed: float, now: Callable[[], float]) -> None:
        self.recording = recording
        self.speed = speed
        self._now = now
        self._began: float | None = None
        self._watching = 0

    @property
    def at_s(self) -> float:
        """Seconds of the run that have passed."""
        return 0.0 if self._began is None else (self._now() - self._began) * self.speed

    def wait_s(self, at_s: float) -> float:
        """How long until the run has come to ``at_s``."""
        return max(0.0, (at_s - self.at_s) / self.speed)

    def __enter__(self) -> "Playback":
        """Somebody watches."""
        if self._began is None:
            self._began = self._now()
        self._watching += 1
        return self

    def __exit__(self, *_exc: object) -> None:
        self._watching -= 1
        if self._watching == 0:
            self._began = None


class SitePlayback:
    """One site of it, behind the routes the page asks."""

    def __init__(self, playback: Playback, site: str) -> None:
        self._playback = playback
        self._lines = [line for line in playback.recording.lines if line.site == site]
        self._times = [line.t for line in self._lines]
        views = [line for line in self._lines if line.event == "view"]
        self._shown = list(accumulate(self._lines, _later_view, initial=views[0]))

    def add_to(self, application: web.Application) -> None:
        """Add the page and its routes."""
        add_page(application)
        application.router.add_get("/v1/view", self.view)
        application.router.add_get("/v1/events", self.events)
        application.router.add_get("/v1/explain/{app}", self.explain)

    async def view(self, _request: web.Request) -> web.Response:
        """What the site saw at this time of the run."""
        return web.Response(body=bytes(self._view_at(self._past()).data), content_type="application/json")

    async def explain(self, request: web.Request) -> web.Response:
        """What the site has decided until now about an app."""
        app = request.match_info["app"]
        past = (line.data for line in self._lines[: self._past()] if line.event == "decision")
        found = [one for one in past if msgspec.json.decode(one, type=Decision).service.split("/")[0] == app]
        return web.Response(body=b"[%s]" % b",".join(map(bytes, found)), content_type="application/json")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Views and decisions as time goes by, as server-sent events."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await answer.prepare(request)
        try:
            with self._playback:
                async with aclosing(self._happening()) as happening:
                    async for line in happening:
                        async with asyncio.timeout(WRITE_STALL_S):
                            await answer.write(_event(line))
        except (ConnectionError, TimeoutError):
            pass  # the reader went away, or does not read
        return answer

    async def _happening(self) -> AsyncGenerator[Line, None]:
        """The view of this time, then all that comes; it goes on when the run is over, with nothing."""
        next_one = self._past()
        shown = self._view_at(next_one)
        yield shown
        while next_one < len(self._lines):
            await asyncio.sleep(self._playback.wait_s(self._times[next_one]))
            past = max(self._past(), next_one + 1)
            for line in self._lines[next_one:past]:
                if line.event == "decision":
                    yield line
            next_one = past
            if self._view_at(past) is not shown:
                shown = self._view_at(past)
                yield shown
                await asyncio.sleep(VIEW_EVERY_S)
        await asyncio.Event().wait()

    def _past(self) -> int:
        """How many lines are past."""
        return bisect_right(self._times, self._playback.at_s)

    def _view_at(self, past: int) -> Line:
        """The last view among the first ``past`` lines, or the first there is."""
        return self._shown[past]


def playback_application(recording: Recording, speed: float, now: Callable[[], float]) -> web.Application:
    """Each site of the recording at ``/<its name>/``; ``/`` leads to the first."""
    outer = web.Application()
    playback = Playback(recording, speed, now)
    for site in recording.sites:
        inner = web.Application()
        SitePlayback(playback, site).add_to(inner)
        outer.add_subapp(f"/{site}/", inner)
    outer.router.add_get("/", partial(_to_first, recording.sites[0]))
    return outer


async def _to_first(site: str, _request: web.Request) -> web.Response:
    raise web.HTTPFound(f"/{site}/")


def _later_view(shown: Line, line: Line) -> Line:
    return line if line.event == "view" else shown


def _event(line: Line) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (line.event.encode(), bytes(line.data))
