"""Topics across sites and workers, over real links."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from gateway_support import WEB, Site, Sites, chat, eventually, route, soon
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from footloose.gateway import topics
from footloose.gateway.relay import PATH
from footloose.gateway.topics import Publication
from footloose.model.app import ServiceId
from footloose.model.routing import Moved, RelayUplink

TOKEN = "s3cret"


def parent_route(token: str = TOKEN, uplink: RelayUplink | None = None):  # type: ignore[no-untyped-def]
    return route("chat", relay_tokens=("another", token), uplink=uplink)


def to(parent: Site, token: str = TOKEN) -> RelayUplink:
    return RelayUplink(parent.url, token)


async def listen(stack: AsyncExitStack, site: Site) -> ClientConnection:
    return await stack.enter_async_context(connect(f"ws://127.0.0.1:{site.port}/{WEB}/"))


async def relay(site: Site, token: str | None, service: str = WEB) -> ClientConnection:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return await connect(f"ws://127.0.0.1:{site.port}{PATH}{service}", additional_headers=headers)


async def linked(*sites: Site) -> None:
    """Wait until every site has its links: a link is a connection like a user's."""
    await eventually(lambda: all(site.gateway.connections > 0 for site in sites))


async def drain(sockets: list[ClientConnection], mark: str) -> list[list[str | bytes]]:
    """What each has heard up to ``mark``."""
    heard = []
    for socket in sockets:
        messages: list[str | bytes] = []
        async with asyncio.timeout(10):
            while (message := await socket.recv()) != mark:
                messages.append(message)
        heard.append(messages)
    return heard


async def test_a_publication_at_a_grandchild_reaches_the_root_and_all_others_exactly_once(sites: Sites) -> None:
    """root - child (two workers) - grandchild, and a sibling of the child."""
    root, worker0, worker1, grandchild, sibling = [
        await sites.start({"chat": chat}, run=run, index=index, workers=workers)
        for run, index, workers in [("r", 0, 1), ("c", 0, 2), ("c", 1, 2), ("g", 0, 1), ("s", 0, 1)]
    ]
    root.install(parent_route())
    for worker in (worker0, worker1):
        worker.install(parent_route(uplink=to(root)))
    grandchild.install(parent_route(uplink=to(worker1)))
    sibling.install(parent_route(uplink=to(root)))
    await linked(root, worker0, worker1, grandchild, sibling)
    everywhere = [root, worker0, worker1, grandchild, sibling]
    async with AsyncExitStack() as stack:
        users = [await listen(stack, site) for site in everywhere]
        for sender in (users[3], users[0], users[2], users[4]):
            await sender.send("all:news")
            await sender.send("all:end")
            assert await drain(users, "end") == [["news"]] * len(users)
    links = [report.observations for site in everywhere for report in site.reports]
    assert all(one.service == WEB for observations in links for one in observations)


async def test_a_link_is_taken_only_with_a_token_of_the_service(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    site.install(parent_route())
    for token, service in [(None, WEB), ("wrong", WEB), ("", WEB), (TOKEN, "demo-abcdefgh/other"), (TOKEN, "")]:
        with pytest.raises(InvalidStatus) as caught:
            await relay(site, token, service)
        assert caught.value.response.status_code == 401
    async with await relay(site, TOKEN) as link, AsyncExitStack() as stack:
        user = await listen(stack, site)
        await user.send("all:x")
        assert topics.decode(await link.recv()).message == "x"  # type: ignore[arg-type]


async def test_a_link_that_sends_anything_but_its_services_publications_is_closed(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    site.install(parent_route())
    other = Publication(1, "x", ServiceId("demo-abcdefgh/other"), "room", True, b"x")
    for bad in (b"garbage", "text", topics.encode(other)):
        async with await relay(site, TOKEN) as link:
            await link.send(bad)
            async with asyncio.timeout(10):
                await link.wait_closed()
            assert link.close_code == 1008


async def test_a_link_ends_with_its_token(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    site.install(parent_route())
    async with await relay(site, TOKEN) as link:
        site.install(parent_route("renewed"))
        async with asyncio.timeout(10):
            await link.wait_closed()
        assert link.close_code == 1001


async def test_a_copy_calls_again_when_its_parent_comes_back(sites: Sites) -> None:
    parent, child = await sites.start({"chat": chat}), await sites.start({"chat": chat})
    child.install(parent_route(uplink=to(parent)))
    await child.until(lambda: any("refused with 401" in text for text in child.logs))
    parent.install(parent_route())
    await linked(parent, child)
    parent.install(parent_route("renewed"))
    await child.until(lambda: any("was lost (1001)" in text for text in child.logs))
    parent.install(parent_route())
    await linked(parent, child)
    async with AsyncExitStack() as stack:
        users = [await listen(stack, parent), await listen(stack, child)]
        await users[0].send("all:end")
        assert await drain(users, "end") == [[], []]


async def test_cut_off_from_its_parent_a_copy_goes_on_among_itself(sites: Sites) -> None:
    child = await sites.start({"chat": chat})
    child.install(parent_route(uplink=RelayUplink("http://127.0.0.1:1", TOKEN)))
    await child.until(lambda: any("no link to" in text for text in child.logs))
    async with AsyncExitStack() as stack:
        users = [await listen(stack, child), await listen(stack, child)]
        await users[0].send("all:end")
        assert await drain(users, "end") == [[], []]


async def test_a_copy_that_is_no_more_hangs_up(sites: Sites) -> None:
    parent, child = await sites.start({"chat": chat}), await sites.start({"chat": chat})
    parent.install(parent_route())
    child.install(parent_route(uplink=to(parent)))
    await linked(parent, child)
    child.install(moved=(Moved(WEB, parent.url, soon()),))
    await eventually(lambda: parent.gateway.connections == child.gateway.connections == 0)


async def test_only_the_first_worker_of_a_site_calls_the_parent(sites: Sites) -> None:
    parent = await sites.start({"chat": chat})
    parent.install(parent_route())
    workers = [await sites.start({"chat": chat}, run="c", index=index, workers=3) for index in range(3)]
    for worker in reversed(workers):
        worker.install(parent_route(uplink=to(parent)))
    await linked(parent, workers[0])
    assert [worker.gateway.connections for worker in workers] == [1, 0, 0]
    assert parent.gateway.connections == 1


async def test_a_worker_that_was_replaced_hears_its_siblings_again(sites: Sites) -> None:
    first = await sites.start({"chat": chat}, run="c", index=0, workers=2)
    second = await sites.start({"chat": chat}, run="c", index=1, workers=2)
    for _ in range(2):
        async with AsyncExitStack() as stack:
            users = [await listen(stack, first), await listen(stack, second)]
            await users[0].send("all:end")
            assert await drain(users, "end") == [[], []]
        await second.gateway.close()
        async with AsyncExitStack() as stack:
            alone = await listen(stack, first)
            await alone.send("all:end")
            assert await drain([alone], "end") == [[]]
        second = await sites.start({"chat": chat}, run="c", index=1, workers=2)
