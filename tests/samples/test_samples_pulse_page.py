"""The page of pulse in a real browser, moved between copies that are near and far."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from samples_stand_in import Copy, Pulse
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from chromium import console_errors, requested, view

pytestmark = pytest.mark.browser
FAR_MS, NEAR_MS = 200, 10


@pytest.fixture
def browser(shared_browser: Chrome) -> Iterator[Chrome]:
    shared_browser.get("about:blank")
    console_errors(shared_browser)
    view(shared_browser, 1280, 800)
    yield shared_browser
    shared_browser.get("about:blank")  # no page is left to ask for copies that are gone


@pytest.fixture
def copies() -> Iterator[tuple[Copy, Copy]]:
    """A far copy at the root of its address, and a near one under a path."""
    service = Pulse()
    with ExitStack() as stack:
        far = stack.enter_context(Copy(service, "home", FAR_MS))
        near = stack.enter_context(Copy(service, "lyon", NEAR_MS, "/pulse-abcdefghijklmnop/web/"))
        yield far, near


def wait(driver: Chrome, condition: Callable[[], Any], seconds: float = 30) -> Any:
    return WebDriverWait(driver, seconds, poll_frequency=0.05).until(lambda _: condition())


def state(driver: Chrome) -> dict[str, Any]:
    found: dict[str, Any] = driver.execute_script("return window.pulse.state")
    return found


def open_page(driver: Chrome, copy: Copy, query: str = "name=anna") -> None:
    driver.get(f"{copy.url}?{query}")
    wait(driver, lambda: state(driver)["rtt_ms"] is not None)


def place(number: int, name: str = "ben", **fields: object) -> str:
    known = {"id": "b0b", "n": number, "name": name, "x": 0.7, "y": number % 50 / 50, "colour": "#e08a1e"}
    return json.dumps(known | {"rtt_ms": 12, "site": "oslo"} | fields)


def text(driver: Chrome, identifier: str) -> str:
    return str(driver.execute_script("return document.getElementById(arguments[0]).textContent", identifier))


def test_the_page_shows_how_near_its_copy_is_and_who_serves_it(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    far, _ = copies
    open_page(browser, far)
    wait(browser, lambda: "home" in text(browser, "where"))
    assert state(browser)["rtt_ms"] >= FAR_MS
    assert state(browser)["host"] in text(browser, "where")
    assert browser.find_element(By.CSS_SELECTOR, "aside").get_attribute("data-band") == "distant"
    assert all(address.startswith(far.url) for address in requested(browser))
    assert console_errors(browser) == []


def test_others_are_seen_at_once_and_vanish_when_they_fall_silent(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    _, near = copies
    open_page(browser, near)
    near.tell(place(1))
    wait(browser, lambda: text(browser, "people") == "ben12 ms · oslo")
    near.tell(place(2, y=0.5))
    wait(browser, lambda: state(browser)["others"][0]["y"] == 0.5)
    wait(browser, lambda: state(browser)["others"] == [])


def test_what_a_user_does_is_heard_by_all(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    far, near = copies
    open_page(browser, near)
    stage = browser.find_element(By.ID, "stage")
    ActionChains(browser).move_to_element_with_offset(stage, 300, 100).perform()
    wait(browser, lambda: len({(said["x"], said["y"]) for said in near.heard}) > 1)
    said = near.heard[-1]
    assert said["name"] == "anna"
    assert said["id"] == state(browser)["id"]
    assert far.heard == []


def test_a_page_told_to_move_does_so_without_losing_a_message(
    browser: Chrome, copies: tuple[Copy, Copy], shots: Path
) -> None:
    far, near = copies
    open_page(browser, far, "name=anna&auto=1")
    service, number = far.service, 0

    def say_more() -> dict[str, Any]:
        nonlocal number
        for _ in range(3):
            number += 1
            service.publish(place(number))
        return state(browser)

    wait(browser, lambda: say_more()["received"] > 10 and state(browser)["sent"] > 20)
    far.migrate(near.live)
    wait(browser, lambda: say_more()["moves"])
    wait(browser, lambda: say_more()["received"] and far.users == 0)
    wait(browser, lambda: state(browser)["received"] == number)
    moved = state(browser)
    [move] = moved["moves"]
    assert move["before_ms"] >= FAR_MS
    wait(browser, lambda: state(browser)["rtt_ms"] < FAR_MS / 2)
    assert moved["host"] == move["to"] != move["from"]
    assert moved["missed"] == 0
    assert moved["losses"] == 0
    assert far.closes == [1000], "the old line is closed in order, once the new one answers"
    heard = [said["n"] for said in far.heard + near.heard]
    assert heard == list(range(1, len(heard) + 1)), "what the user said arrived whole, part here, part there"
    assert far.heard and near.heard
    wait(browser, lambda: "lyon" in text(browser, "where"))
    assert text(browser, "toast").startswith("Moved to ")
    assert console_errors(browser) == []
    browser.save_screenshot(str(shots / "moved.png"))


def test_a_move_to_a_copy_that_does_not_answer_changes_nothing(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    far, near = copies
    near.refusing = True
    open_page(browser, far)
    far.migrate(near.live)
    wait(browser, lambda: near.refused > 0)
    wait(browser, lambda: state(browser)["status"] == "live")
    assert (far.users, far.closes) == (1, [])
    assert state(browser)["moves"] == []
    near.refusing = False
    wait(browser, lambda: state(browser)["moves"])
    assert state(browser)["losses"] == 0


def test_a_page_told_to_move_before_its_line_has_answered_moves_too(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    far, near = copies
    far.onward = near.live
    open_page(browser, far)
    wait(browser, lambda: state(browser)["moves"] and state(browser)["base"] == near.url)
    assert state(browser)["losses"] == 0


def test_a_page_told_to_move_on_by_the_copy_it_moves_to_goes_on(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    far, near = copies
    with Copy(far.service, "third", 0) as third:
        near.onward = third.live
        open_page(browser, far)
        far.migrate(near.live)
        wait(browser, lambda: state(browser)["base"] == third.url)
        assert state(browser)["losses"] == 0


def test_a_copy_that_goes_leaves_the_page_at_home_again(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    far, near = copies
    open_page(browser, far)
    far.migrate(near.live)
    wait(browser, lambda: state(browser)["moves"])
    near.server.stop()
    wait(browser, lambda: state(browser)["losses"] == 1)
    wait(browser, lambda: state(browser)["status"] == "live" and state(browser)["base"] == far.url)
    wait(browser, lambda: far.users == 1)
    assert far.opened == 2


def test_with_its_home_away_the_page_goes_back_to_the_copy_it_had(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    far, near = copies
    open_page(browser, far)
    far.migrate(near.live)
    wait(browser, lambda: state(browser)["moves"] and far.users == 0)
    far.server.stop()
    near.hang_up()
    wait(browser, lambda: state(browser)["losses"] == 1 and state(browser)["status"] == "live")
    assert state(browser)["base"] == near.url


def test_a_home_that_has_moved_is_followed(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    far, near = copies
    open_page(browser, far)
    far.refusing = True
    far.redirect = near.url
    far.hang_up()
    wait(browser, lambda: state(browser)["base"] == near.url and state(browser)["status"] == "live")


def test_what_other_users_send_stays_text_and_cannot_move_the_page(browser: Chrome, copies: tuple[Copy, Copy]) -> None:
    _, near = copies
    open_page(browser, near)
    markup = "<img src=x onerror=hurt=1>"
    near.tell(place(1, markup[:24], site=markup, colour='red"><script>hurt=1</script>'))
    wait(browser, lambda: len(state(browser)["others"]) == 1)
    wait(browser, lambda: markup[:24] in text(browser, "people"))
    near.tell("[1, 2")
    near.tell("null")
    near.tell('{"id": "z", "n": 1, "x": "1", "y": 1}')
    near.tell('{"footloose": "migrate", "url": "javascript:hurt=1"}')
    near.tell(place(2, "ok"))
    wait(browser, lambda: "ok" in text(browser, "people"))
    assert browser.execute_script("return document.querySelectorAll('img').length + (window.hurt ?? 0)") == 0
    assert [other["name"] for other in state(browser)["others"]] == ["ok"]
    assert state(browser)["status"] == "live"
    assert console_errors(browser) == []


def test_on_a_phone_all_fits_and_the_dots_are_below_the_panel(
    browser: Chrome, copies: tuple[Copy, Copy], shots: Path
) -> None:
    _, near = copies
    view(browser, 390, 844)
    open_page(browser, near)
    near.tell(place(1))
    wait(browser, lambda: "ben" in text(browser, "people"))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    panel = browser.execute_script("return document.querySelector('aside').getBoundingClientRect().toJSON()")
    assert panel["right"] <= 390
    assert panel["bottom"] < 844 / 3
    browser.save_screenshot(str(shots / "phone.png"))
