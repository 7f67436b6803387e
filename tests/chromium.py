"""Headless Chromium for tests that look at pages: started fresh, stopped also on failure, fetches nothing by itself."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from free_ports import free_port

DRIVER = "/usr/bin/chromedriver"
BROWSER = "/usr/bin/chromium"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


@contextmanager
def chromium(profile: Path, width: int = 1280, height: int = 800) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile. Skips the test where Chromium or its driver is not installed."""
    for program in (DRIVER, BROWSER):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    options = Options()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER, port=free_port()))
    try:
        view(driver, width, height)
        yield driver
    finally:
        driver.quit()


def view(driver: webdriver.Chrome, width: int, height: int, dark: bool = False) -> None:
    """Give the page exactly this size and colour scheme, as on a screen or a phone of that width."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def console_errors(driver: webdriver.Chrome) -> list[str]:
    """What the page complained of since last asked: exceptions, policy violations, failed loads."""
    entries: list[dict[str, Any]] = driver.get_log("browser")
    return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


def requested(driver: webdriver.Chrome) -> list[str]:
    """The addresses of everything the page has loaded."""
    script = (
        "return performance.getEntries().filter(e => ['resource', 'navigation'].includes(e.entryType)).map(e => e.name)"
    )
    names: list[str] = driver.execute_script(script)
    return names
