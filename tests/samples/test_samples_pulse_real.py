"""Pulse in a browser on real gateways: worker processes, real redirects, real relay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples_real_sites import RealSites
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait
from test_samples_pulse_page import place, state, text

from chromium import console_errors, view

pytestmark = pytest.mark.browser
FAR_MS = 150


def wait(driver: Chrome, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(driver, 40, poll_frequency=0.05).until(lambda _: condition())


def test_a_user_moves_from_gateway_to_gateway_and_misses_nothing(
    shared_browser: Chrome, tmp_path: Path, shots: Path
) -> None:
    browser = shared_browser
    console_errors(browser)
    view(browser, 1280, 800)
    with RealSites(tmp_path, FAR_MS) as sites:
        number = 0

        def say_more() -> dict[str, Any]:
            nonlocal number
            number += 1
            sites.say(place(number))
            return state(browser)

        browser.get(f"{sites.home_url}?name=anna&auto=1")
        wait(browser, lambda: state(browser)["rtt_ms"])
        wait(browser, lambda: say_more()["received"] > 5)
        assert state(browser)["first_ms"] >= FAR_MS
        sites.send_users_on()
        wait(browser, lambda: say_more()["moves"])
        [move] = state(browser)["moves"]
        assert state(browser)["base"] == sites.copy_url
        assert move["before_ms"] >= FAR_MS
        wait(browser, lambda: state(browser)["rtt_ms"] < FAR_MS / 2)
        came = state(browser)["received"]
        wait(browser, lambda: say_more()["received"] > came + 5)
        wait(browser, lambda: state(browser)["others"][0]["last"] == number)
        assert (state(browser)["missed"], state(browser)["losses"]) == (0, 0)
        assert "127.0.0.1" in text(browser, "where")
        assert console_errors(browser) == []
        browser.save_screenshot(str(shots / "real.png"))
        browser.get("about:blank")
