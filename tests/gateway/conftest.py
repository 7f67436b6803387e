"""Gateways on real sockets, with guests written in Python."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from gateway_support import Sites


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Workers run on uvloop, so these tests do."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Sites]:
    """Makes gateways, and closes them."""
    made = Sites(tmp_path)
    yield made
    await made.close()
