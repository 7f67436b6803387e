"""Sites on loopback, and a client to ask them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from transport_site import Site

from footloose.core.clock import SystemClock
from footloose.core.identity import Identity
from footloose.transport import listener
from footloose.transport.client import PeerClient
from footloose.transport.listener import serve


@pytest.fixture
async def sites(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], Awaitable[Site]]]:
    """Start sites; all are stopped at the end, without waiting long for what a test left unfinished."""
    monkeypatch.setattr(listener, "_SHUTDOWN_S", 0.1)
    async with AsyncExitStack() as stack:

        async def start() -> Site:
            site = Site()
            site.running = await serve(site.application(), "127.0.0.1", 0, site.identity)
            stack.push_async_exit(site.running)
            stack.callback(site.released.set)
            return site

        yield start


@pytest.fixture
async def site(sites: Callable[[], Awaitable[Site]]) -> Site:
    return await sites()


@pytest.fixture
def caller() -> Identity:
    return Identity.generate()


@pytest.fixture
async def client(caller: Identity) -> AsyncIterator[PeerClient]:
    async with PeerClient(caller, SystemClock()) as made:
        yield made
