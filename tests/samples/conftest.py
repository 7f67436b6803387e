"""A browser for the pages of the samples."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from chromium import chromium


@pytest.fixture(scope="session")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests leave pictures of what they saw."""
    return tmp_path_factory.mktemp("shots", numbered=True)
