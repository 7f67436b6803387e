"""What strangers and faulty customers may send to a real site's API, and what comes of it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from node_sites import PATIENT, Site, Town, answering, eventually, get, service

from footloose.core.clock import SystemClock
from footloose.core.codec import encode, sign
from footloose.core.digest import Digest, digest_of
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import ARTIFACT_BYTES, MESSAGE_BYTES, PROBES_BURST, PROBES_WAITING
from footloose.model.app import App, Limits, Service, Where
from footloose.model.terms import Lease, LeaseAnswer, LeaseEnd, LeasePoll, LeaseRequest, ProbeAnswer, ProbeRequest
from footloose.testbed.sites import Sites
from footloose.transport.client import PeerAnswer, PeerClient
from footloose.transport.signatures import RequestSigner, content_digest

pytestmark = pytest.mark.slow
CODE = answering("hello")
"""What most customers here want run."""


class Customer:
    """Somebody with a key who calls a site's API."""

    def __init__(self, site: Site, identity: Identity) -> None:
        self.site = site
        self.identity = identity
        self.client = PeerClient(identity, SystemClock())
        self.app = App("shop", identity.node_id, (service(CODE),))

    @property
    def service_id(self) -> str:
        return self.app.service_id(self.app.services[0])

    async def call(self, method: str, path: str, value: object = None) -> PeerAnswer:
        body = encode(value) if value is not None else b""
        return await self.client.request(self.site.api, method, path, node=NodeId(self.site.node), body=body)

    def request(self, of: App | None = None, **changes: object) -> LeaseRequest:
        request = LeaseRequest(
            request_id="1",
            customer=self.identity.node_id,
            app=sign(of or self.app, self.identity),
            service="web",
            term_s=60.0,
            parent_url=f"http://127.0.0.9:8080/{self.service_id}/",
            relay_token="token",
            price_per_hour=1.0,
        )
        return msgspec.structs.replace(request, **changes)

    async def ask(self, request: LeaseRequest) -> LeaseAnswer:
        return (await self.call("POST", "/v1/leases", request)).value(LeaseAnswer)

    async def put(self, digest: Digest, content: bytes) -> PeerAnswer:
        path, node = f"/v1/artifacts/{digest}", NodeId(self.site.node)
        return await self.client.request(self.site.api, "PUT", path, node=node, body=content)

    async def put_file(self, digest: Digest, file: Path) -> PeerAnswer:
        path, node = f"/v1/artifacts/{digest}", NodeId(self.site.node)
        return await self.client.upload(self.site.api, path, file, digest, node=node)

    async def leased(self, request: LeaseRequest | None = None) -> Lease:
        """A lease, the code sent if need be."""
        request = request or self.request()
        answer = await self.ask(request)
        if answer.needs_artifact is not None:
            (await self.put(answer.needs_artifact, CODE)).check()
            answer = await self.ask(request)
        assert answer.lease is not None, answer
        return msgspec.json.decode(answer.lease.payload, type=Lease)

    async def refusal(self, request: LeaseRequest) -> str:
        answer = await self.ask(request)
        assert (answer.lease, answer.needs_artifact) == (None, None)
        return str(answer.refused)


@pytest.fixture(scope="module")
def site() -> Any:
    """One site for all tests here: none of them may harm it."""
    with Sites() as sites:
        made = Town(sites).start("site", "--price", "0.5", region="north").ready()
        yield made
        assert "Traceback" not in made.log()
        assert [worker.restarts for worker in made.admin.status().workers] == [0]


@pytest.fixture
async def customer(site: Site) -> AsyncIterator[Customer]:
    """A customer nobody has seen before."""
    made = Customer(site, Identity.generate())
    async with made.client:
        yield made


async def test_a_stranger_gets_a_copy_polls_it_and_releases_it(customer: Customer) -> None:
    lease = await customer.leased()
    assert get(lease.url).body == "hello"
    assert lease.price_per_hour == 0.5
    polled = (await customer.call("POST", f"/v1/leases/{lease.lease_id}/poll", LeasePoll(True))).value(LeaseAnswer)
    assert polled.lease is not None and polled.reading is not None
    seen = await asyncio.to_thread(eventually, lambda: get(lease.url).status == 200)
    assert seen
    (await customer.call("DELETE", f"/v1/leases/{lease.lease_id}", LeaseEnd("enough"))).check()
    sent_back = await asyncio.to_thread(eventually, lambda: (a := get(lease.url)).status == 302 and a)
    assert sent_back.location == f"http://127.0.0.9:8080/{customer.service_id}/"
    gone = await customer.call("POST", f"/v1/leases/{lease.lease_id}/poll", LeasePoll(False))
    assert gone.status == 404
    again = await customer.call("DELETE", f"/v1/leases/{lease.lease_id}", LeaseEnd("enough"))
    assert again.status == 404
    assert "has ended" in await customer.refusal(customer.request())


async def test_the_same_request_sent_again_gets_the_same_lease(customer: Customer) -> None:
    request = customer.request()
    first = await customer.leased(request)
    many: list[Coroutine[Any, Any, Lease]] = [customer.leased(request) for _ in range(5)]
    assert set(await asyncio.gather(*many)) == {first}


async def test_users_of_a_copy_are_read_off_once(customer: Customer) -> None:
    lease = await customer.leased()
    for _ in range(3):
        assert get(lease.url, source="127.0.77.1").status == 200

    async def requests() -> int:
        polled = (await customer.call("POST", f"/v1/leases/{lease.lease_id}/poll", LeasePoll(False))).value(LeaseAnswer)
        assert polled.reading is not None
        return sum(one.requests for one in polled.reading.observations if one.prefix == "127.0.77.0/24")

    total, deadline = 0, asyncio.get_running_loop().time() + 20
    while total < 3 and asyncio.get_running_loop().time() < deadline:
        total += await requests()
    assert total == 3
    assert await requests() == 0


REFUSED: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "a service the app does not have": ({"service": "none"}, {}, "no service 'none'"),
    "too low a price": ({"price_per_hour": 0.4}, {}, "the price here is 0.5 an hour"),
    "another customer's name": ({"customer": Identity.from_seed(b"o" * 32).node_id}, {}, "another customer"),
    "a region the owner does not allow": ({}, {"where": Where(regions=("south",))}, "does not allow region 'north'"),
    "a parent that is no URL": ({"parent_url": "file:///etc/passwd"}, {}, "does not end in"),
    "a term of nothing": ({"term_s": 0.0}, {}, "a term of 0 s"),
    "a name that is a path": ({}, {"name": "../web"}, "not a name for a service"),
    "endless time": ({}, {"limits": Limits(time_ms=1e12)}, "as the limit of time"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_request_a_site_would_not_take_is_refused_with_the_reason(customer: Customer, case: str) -> None:
    request, of_service, why = REFUSED[case]
    web: Service = msgspec.structs.replace(customer.app.services[0], **of_service)
    app = msgspec.structs.replace(customer.app, services=(web,))
    assert why in await customer.refusal(customer.request(app, **{"service": web.name, **request}))


async def test_an_app_its_owner_did_not_sign_is_refused(customer: Customer) -> None:
    owner = Identity.generate()
    app = msgspec.structs.replace(customer.app, owner=owner.node_id)
    assert "not signed by its owner" in await customer.refusal(customer.request(app))
    forged = msgspec.structs.replace(customer.request().app, payload=encode(app))
    assert "signature does not fit" in await customer.refusal(customer.request(app=forged))


async def test_an_owner_may_be_another_than_the_customer(customer: Customer) -> None:
    owner = Identity.generate()
    app = msgspec.structs.replace(customer.app, owner=owner.node_id)
    url = f"http://127.0.0.9:8080/{app.service_id(app.services[0])}/"
    lease = await customer.leased(customer.request(app=sign(app, owner), parent_url=url))
    assert get(lease.url).body == "hello"


async def test_more_memory_than_a_guest_may_have_is_refused_after_the_code_came(customer: Customer) -> None:
    web = service(CODE, limits=Limits(memory_bytes=2**31))
    request = customer.request(msgspec.structs.replace(customer.app, services=(web,)))
    answer = await customer.ask(request)
    if answer.needs_artifact is not None:
        (await customer.put(answer.needs_artifact, CODE)).check()
    assert "a memory limit of 2147483648 bytes" in await customer.refusal(request)


async def test_code_that_was_not_asked_for_is_not_taken(customer: Customer) -> None:
    content = answering("unasked")
    answer = await customer.put(digest_of(content), content)
    assert (answer.status, b"was not asked for" in answer.body) == (409, True)


async def asked_for(customer: Customer, content: bytes) -> LeaseRequest:
    """A request for which the site wants ``content``."""
    app = msgspec.structs.replace(customer.app, services=(service(content, limits=PATIENT),))
    request = customer.request(app)
    assert (await customer.ask(request)).needs_artifact == digest_of(content)
    return request


async def test_code_that_is_not_what_its_digest_says_is_not_kept(customer: Customer) -> None:
    content = answering("as asked for, by one")
    request = await asked_for(customer, content)
    answer = await customer.put(digest_of(content), b"something else")
    assert (answer.status, b"another than its digest says" in answer.body) == (400, True)
    assert (await customer.ask(request)).needs_artifact is not None
    (await customer.put(digest_of(content), content)).check()
    assert (await customer.ask(request)).lease is not None


async def test_code_that_is_no_module_is_refused_with_the_reason(customer: Customer) -> None:
    content = b"no module " + customer.identity.node_id.encode()
    request = await asked_for(customer, content)
    (await customer.put(digest_of(content), content)).check()
    assert "not WebAssembly" in await customer.refusal(request)


async def test_an_upload_cut_in_the_middle_leaves_nothing_and_a_later_one_works(customer: Customer) -> None:
    content = answering("x" * 1000 + "as asked for, by another")
    request = await asked_for(customer, content)
    digest = digest_of(content)
    kept = {file.name for file in (customer.site.process.state / "artifacts").iterdir()}
    url = f"https://{customer.site.api}/v1/artifacts/{digest}"
    signer = RequestSigner(customer.identity)
    headers = signer.headers(
        "PUT", url, to=NodeId(customer.site.node), digest=content_digest(content), now=SystemClock().now()
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    start = f"PUT /v1/artifacts/{digest} HTTP/1.1\r\nHost: {customer.site.api}\r\nContent-Length: {len(content)}\r\n"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(customer.site.api.host, customer.site.api.port, ssl=context)
    writer.write(f"{start}{head}\r\n".encode() + content[: len(content) // 2])
    await writer.drain()
    partial = customer.site.process.state / "artifacts"
    await asyncio.to_thread(eventually, lambda: list(partial.glob("*.partial")))
    writer.transport.abort()
    await asyncio.to_thread(eventually, lambda: {file.name for file in partial.iterdir()} == kept)
    assert (await customer.ask(request)).needs_artifact == digest
    (await customer.put(digest, content)).check()
    assert (await customer.ask(request)).lease is not None


async def test_what_is_too_large_is_refused_before_it_is_read(customer: Customer, tmp_path: Path) -> None:
    content = answering("as asked for, too large")
    await asked_for(customer, content)
    with (file := tmp_path / "large").open("wb") as large:
        large.truncate(ARTIFACT_BYTES + 1)
    answer = await customer.put_file(digest_of(content), file)
    assert answer.status == 413
    answer = await customer.client.request(
        customer.site.api, "POST", "/v1/leases", node=NodeId(customer.site.node), body=bytes(MESSAGE_BYTES + 1)
    )
    assert answer.status == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"request_id": 1}', b"\xff\xfe", b"[" * 10_000])
@pytest.mark.parametrize("path", ["/v1/leases", "/v1/probes", "/v1/leases/none/poll"])
async def test_garbage_is_refused_as_such(customer: Customer, path: str, body: bytes) -> None:
    answer = await customer.client.request(customer.site.api, "POST", path, node=NodeId(customer.site.node), body=body)
    assert answer.status in (400, 404)
    assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_users_are_measured_and_those_who_ask_too_much_are_turned_away(customer: Customer) -> None:
    measured = (await customer.call("POST", "/v1/probes", ProbeRequest("127.0.0.1"))).value(ProbeAnswer)
    assert measured.rtt_ms is not None and 0 <= measured.rtt_ms < 1000
    for address in ("nowhere", "0.0.0.0", "224.0.0.1", "255.255.255.255"):
        assert (await customer.call("POST", "/v1/probes", ProbeRequest(address))).status == 400
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 10 * PROBES_BURST:
        asked = (customer.call("POST", "/v1/probes", ProbeRequest("127.0.0.1")) for _ in range(PROBES_WAITING))
        statuses += [answer.status for answer in await asyncio.gather(*asked)]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= PROBES_BURST - 1
    other = Customer(customer.site, Identity.generate())
    async with other.client:  # another caller is not held back by this one
        assert (await other.call("POST", "/v1/probes", ProbeRequest("127.0.0.1"))).status == 200


async def test_nothing_but_who_it_is_is_told_to_who_does_not_sign(customer: Customer) -> None:
    site = customer.site
    assert (await customer.client.request(site.api, "GET", "/v1/site", node=None)).status == 200
    for method, path in (("POST", "/v1/leases"), ("POST", "/v1/probes"), ("DELETE", "/v1/leases/x")):
        assert (await customer.client.request(site.api, method, path, node=None, body=b"{}")).status == 401
