"""A scripted site behind the page: what it says is what the test says."""

import asyncio

from aiohttp import web
from console_scenes import small

from footloose.console.page import add_page
from footloose.core.codec import encode
from footloose.model.decision import Decision
from footloose.model.view import View
from served import Served


class ScriptedSite:
    """Answers ``v1/view``, ``v1/events`` and ``v1/explain`` under ``prefix`` with what it was last told."""

    def __init__(self, prefix: str = "/") -> None:
        self.view = small()
        self.decisions: list[Decision] = []
        self.followers = 0
        self._streams: set[asyncio.Queue[bytes | None]] = set()
        self._prefix = prefix
        self.server = Served(self._app)

    @property
    def url(self) -> str:
        return self.server.url.rstrip("/") + self._prefix

    def show(self, view: View) -> None:
        """Make this the view, and tell all who follow."""
        self.view = view
        self._say(_event("view", view))

    def decide(self, *decisions: Decision) -> None:
        """Record decisions, and tell all who follow."""
        self.decisions.extend(decisions)
        for decision in decisions:
            self._say(_event("decision", decision))

    def say(self, event: bytes) -> None:
        """Send these very bytes."""
        self._say(event)

    def _say(self, event: bytes) -> None:
        async def put() -> None:
            for stream in self._streams:
                stream.put_nowait(event)

        self.server.run(put())

    def _app(self) -> web.Application:
        inner = web.Application()
        add_page(inner)
        inner.router.add_get("/v1/view", self._answer_view)
        inner.router.add_get("/v1/events", self._answer_events)
        inner.router.add_get("/v1/explain/{app}", self._answer_explain)
        if self._prefix == "/":
            return inner
        outer = web.Application()
        outer.add_subapp(self._prefix, inner)
        return outer

    async def _answer_view(self, _request: web.Request) -> web.Response:
        return web.Response(body=encode(self.view), content_type="application/json")

    async def _answer_explain(self, request: web.Request) -> web.Response:
        app = request.match_info["app"]
        found = [decision for decision in self.decisions if decision.service.split("/")[0] == app]
        return web.Response(body=encode(found), content_type="application/json")

    async def _answer_events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await answer.prepare(request)
        stream: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._streams.add(stream)
        self.followers += 1
        try:
            await answer.write(_event("view", self.view))
            while (event := await stream.get()) is not None:
                await answer.write(event)
        finally:
            self._streams.discard(stream)
        return answer


def _event(kind: str, value: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encode(value) + b"\n\n"
