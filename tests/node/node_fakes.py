"""Sites that are not what they should be: real TLS and a real key, and answers made up by the test."""

import asyncio
import secrets
from collections.abc import Callable

import msgspec
from aiohttp import web

from footloose.core.clock import SystemClock
from footloose.core.codec import Signed, decode, encode, open_signed, sign
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import LEASE_GRACE_S, RECORD_LIFETIME_S
from footloose.model.app import App
from footloose.model.site import Endpoint, ProviderId, SiteRecord
from footloose.model.terms import Lease, LeaseAnswer, LeaseRequest, MeterReading, ProbeAnswer
from footloose.testbed.sites import API_PORT
from footloose.transport.listener import RunningSite, serve
from footloose.transport.problems import Refused
from footloose.transport.server import public, site_application, upload
from served import LoopThread

Raw = bytes
"""An answer sent as it is."""


class FakeSites(LoopThread):
    """Fake sites, all on one loop. Leave it when all who are connected to them have ended."""

    def __init__(self) -> None:
        super().__init__()
        self._running: list[RunningSite] = []
        self._ended = asyncio.Event()

    def __exit__(self, *_exc: object) -> None:
        self.run(self._close())
        super().__exit__(None, None, None)

    def start(self, address: str, name: str) -> "FakeSite":
        """One more of them."""
        fake = FakeSite(address, name, self._ended)
        self._running.append(self.run(fake.serve()))
        return fake

    async def _close(self) -> None:
        self._ended.set()
        for running in self._running:
            await running.close()
        open_files = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
        while len(open_files) > 1:  # noqa: ASYNC110 - all but the loop's own; nobody is told when a transport is gone
            await asyncio.sleep(0.01)


class FakeSite:
    """Behaves well, but for what a test changes: ``answers`` by subject, ``lease`` and ``reading``.

    A value of ``answers`` is the body to send; None never answers.
    """

    def __init__(self, address: str, name: str, ended: asyncio.Event) -> None:
        self.identity = Identity.generate()
        self.name = name
        self.api = Endpoint(address, API_PORT)
        self.answers: dict[str, Raw | None] = {}
        self.released: list[str] = []
        self.lease: Callable[[Lease], Lease | Signed] = lambda lease: lease
        self.reading: Callable[[Lease], LeaseAnswer] = self.empty
        self._clock = SystemClock()
        self._leases: dict[str, Lease] = {}
        self._ended = ended

    @property
    def node(self) -> NodeId:
        """Its node id."""
        return self.identity.node_id

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.now()

    def empty(self, lease: Lease) -> LeaseAnswer:
        """A reading of no users."""
        return LeaseAnswer(reading=MeterReading(lease.lease_id, lease.starts_at, self.now(), ()))

    def record(self, **changes: object) -> SiteRecord:
        """What it says of itself."""
        now = self.now()
        made = SiteRecord(
            node=self.identity.node_id,
            provider=ProviderId(self.identity.node_id),
            name=self.name,
            api=self.api,
            gateway=f"http://{self.api.host}:8080",
            issued_at=now,
            expires_at=now + RECORD_LIFETIME_S,
        )
        return msgspec.structs.replace(made, **changes)

    def signed_record(self, **changes: object) -> Raw:
        """That, signed, as bytes."""
        return encode(sign(self.record(**changes), self.identity))

    def forget(self) -> None:
        """Lose all leases."""
        self._leases.clear()

    async def serve(self) -> RunningSite:
        """Begin to answer."""
        application = site_application(self.identity, self._clock)
        application.router.add_get("/v1/site", self._site)
        application.router.add_post("/v1/probes", self._probe)
        application.router.add_put("/v1/artifacts/{digest}", self._artifact)
        application.router.add_post("/v1/leases", self._ask)
        application.router.add_post("/v1/leases/{lease}/poll", self._poll)
        application.router.add_delete("/v1/leases/{lease}", self._release)
        return await serve(application, self.api.host, self.api.port, self.identity)

    async def _answer(self, about: str, good: Callable[[], Raw]) -> web.Response:
        body = self.answers[about] if about in self.answers else good()
        if body is None:
            await self._ended.wait()
        return web.Response(body=body or b"", content_type="application/json")

    @public
    async def _site(self, _request: web.Request) -> web.Response:
        return await self._answer("site", self.signed_record)

    async def _probe(self, _request: web.Request) -> web.Response:
        return await self._answer("probe", lambda: encode(ProbeAnswer(1000.0)))

    @upload(64 * 1024 * 1024)
    async def _artifact(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=201)

    async def _ask(self, request: web.Request) -> web.Response:
        asked = decode(await request.read(), LeaseRequest)
        return await self._answer("lease", lambda: encode(LeaseAnswer(lease=self._granted(asked))))

    def _granted(self, asked: LeaseRequest) -> Signed:
        app, now = open_signed(asked.app, App), self.now()
        service = app.service(asked.service)
        assert service is not None
        lease = Lease(
            lease_id=secrets.token_hex(8),
            provider_node=self.identity.node_id,
            customer=asked.customer,
            service=app.service_id(service),
            artifact=service.artifact,
            starts_at=now,
            ends_at=now + asked.term_s,
            grace_s=LEASE_GRACE_S,
            price_per_hour=0.0,
            url=f"http://{self.api.host}:8080/{app.service_id(service)}/",
        )
        self._leases[lease.lease_id] = lease
        made = self.lease(lease)
        return made if isinstance(made, Signed) else sign(made, self.identity)

    async def _poll(self, request: web.Request) -> web.Response:
        lease = self._leases.get(request.match_info["lease"])
        if lease is None:
            raise Refused(404, "no such lease")
        return await self._answer("poll", lambda: encode(self.reading(lease)))

    async def _release(self, request: web.Request) -> web.Response:
        self.released.append(request.match_info["lease"])
        return web.Response(status=204)
