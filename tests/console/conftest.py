"""A browser for all tests of the page, and a scripted site for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from console_scripted_site import ScriptedSite
from selenium import webdriver

from chromium import chromium


@pytest.fixture(scope="session")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def site() -> Iterator[ScriptedSite]:
    scripted = ScriptedSite()
    with scripted.server:
        yield scripted


@pytest.fixture
def site_under_prefix() -> Iterator[ScriptedSite]:
    scripted = ScriptedSite("/tools/console/")
    with scripted.server:
        yield scripted


@pytest.fixture
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests leave pictures of what they saw."""
    return tmp_path_factory.mktemp("shots", numbered=True)
