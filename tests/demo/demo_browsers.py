"""Chromium inside a host of the testbed, steered from outside through a pipe, which no network namespace cuts."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from chromium import BROWSER, DRIVER, FLAGS
from footloose.testbed import LiveHost
from free_ports import free_port


class Visitor:
    """Someone who looks at the sample app's page in a browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    @property
    def state(self) -> dict[str, Any]:
        """What the page knows of itself."""
        found: dict[str, Any] = self.driver.execute_script("return window.pulse.state")
        return found

    def opens(self, url: str) -> None:
        """Go to a page."""
        self.driver.get(url)

    def waits_until(self, condition: str, seconds: float = 60) -> None:
        """Wait until ``condition``, in JavaScript with the page's state as ``state``, holds."""
        script = f"const state = window.pulse.state; return Boolean({condition})"
        waiting = WebDriverWait(self.driver, seconds, poll_frequency=0.1)
        try:
            waiting.until(lambda driver: driver.execute_script(script))
        except TimeoutException:
            pytest.fail(f"waited in vain for {condition}: {self.driver.current_url} {self.state}")


@contextmanager
def visitor(host: LiveHost, directory: Path) -> Iterator[Visitor]:
    """A browser on a host of the testbed. Skips the test where there is none."""
    for program in (DRIVER, BROWSER):
        if not Path(program).exists():
            pytest.skip(f"{program} is not installed")
    inside = directory / f"chromium-{host.name}"
    inside.write_text(f'#!/bin/sh\nexec {shlex.join(host.argv([BROWSER]))} "$@"\n')
    inside.chmod(0o700)
    options = Options()
    options.binary_location = str(inside)
    profile = f"--user-data-dir={directory / host.name}"
    for flag in (*FLAGS, profile, "--window-size=1000,700", "--remote-debugging-pipe"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER, port=free_port()))
    try:
        yield Visitor(driver)
    finally:
        driver.quit()
