"""The whole demo through the command line, on real packets: one run, looked at from all sides."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from demo_runs import Ended, demo_run
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.support.wait import WebDriverWait

from chromium import chromium, console_errors
from footloose.testbed import available
from free_ports import free_port

pytestmark = [pytest.mark.root, pytest.mark.slow]

USERS = 10
PROVIDERS = {"north-site", "east-site", "south-site", "west-site"}


class Page(NamedTuple):
    """The operators' page as a browser showed it."""

    users: list[str]
    sites: list[str]
    decisions: list[str]
    errors: list[str]
    shot: Path


class Whole(NamedTuple):
    """All that was seen of the run."""

    report: dict[str, Any]
    decisions: list[dict[str, Any]]
    explained: str
    page: Page | str
    ended: Ended


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    if not available():
        pytest.skip(available().why)
    port = free_port()
    with demo_run("--json", "--stay", "--page-port", str(port)) as run:
        run.line_with("all users have settled")
        decisions = json.loads(run.ask_home("explain", "pulse", "--json", "--limit", "500"))
        explained = run.ask_home("explain", "pulse", "--limit", "500")
        page = look_at(f"http://127.0.0.1:{port}/", tmp_path_factory)
        run.signal(signal.SIGINT)
        ended = run.ended()
    yield Whole(json.loads(ended.out), decisions, explained, page, ended)


def look_at(url: str, tmp_path_factory: pytest.TempPathFactory) -> Page | str:
    """The page, or why it could not be seen: that is for the test of the page to tell."""
    shot = tmp_path_factory.mktemp("shots", numbered=True) / "demo-page.png"
    try:
        with chromium(tmp_path_factory.mktemp("profile"), 1400, 1000) as browser:

            def words(selector: str) -> list[str]:
                script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)"
                texts: list[str] = browser.execute_script(script, selector)
                return texts

            browser.get(url)
            WebDriverWait(browser, 30).until(lambda _: words("#link-text") == ["Live"])
            WebDriverWait(browser, 30).until(lambda _: len(words("#users-table tbody tr")) == USERS)
            browser.save_screenshot(str(shot))
            return Page(
                words("#users-table tbody tr"),
                words("#sites-table .name button"),
                words("#decisions li"),
                console_errors(browser),
                shot,
            )
    except (pytest.skip.Exception, WebDriverException) as error:
        return str(error)


def test_every_user_ends_at_its_nearest_site_without_an_error(whole: Whole) -> None:
    assert whole.report["good"] is True
    assert whole.ended.code == 0
    assert len(whole.report["users"]) == USERS
    for user in whole.report["users"]:
        assert (user["site"], user["errors"], user["settled"]) == (user["nearest"], [], True)
        assert user["rtt_ms"] < user["first_rtt_ms"]
        assert user["moves"] >= 1


def test_the_first_user_moves_within_a_minute_of_the_set_up(whole: Whole) -> None:
    assert 0 < whole.report["first_redirect_s"] <= 60


def test_one_site_is_found_by_dns_alone_and_the_others_by_the_dht(whole: Whole) -> None:
    sites = {site["site"]: site["found_by"] for site in whole.report["sites"]}
    assert sites == {name: "dns" if name == "west-site" else "dht" for name in PROVIDERS}
    found = {(one["outcome"], one["inputs"]["found_by"]) for one in whole.decisions if "found_by" in one["inputs"]}
    found = {(name, how) for name, how in found if how != "members"}  # which all become that have met
    assert {how for name, how in found if name == "west-site"} == {"dns"}
    assert {how for name, how in found if name in PROVIDERS - {"west-site"}} == {"dht"}


def test_the_home_explains_each_redirect_with_figures(whole: Whole) -> None:
    # That a site was not heard of for a moment, which a busy machine brings about, sends nobody anywhere.
    redirects = [one for one in whole.decisions if one["step"] == "redirect" and one["outcome"].startswith("http://")]
    assert len({one["subject"] for one in redirects}) == USERS
    for one in redirects:
        assert "serves and is nearer" in one["reason"]
        assert 0 < one["inputs"]["rtt_ms"] < one["inputs"]["rtt_here_ms"]
        assert f"{one['inputs']['rtt_ms']:.1f} ms instead of {one['inputs']['rtt_here_ms']:.1f} ms" in one["reason"]
        assert one["reason"] in whole.explained.replace("\n", " ") or one["subject"] in whole.explained


def test_copies_are_leased_only_where_sites_were_found_and_users_sent_only_to_copies_that_serve(whole: Whole) -> None:
    for name in PROVIDERS:
        node = next(site["node"] for site in whole.report["sites"] if site["site"] == name)
        steps = [one["step"] for one in whole.decisions if node in (one["subject"], one["inputs"].get("site"))]
        assert steps.index("discover") < steps.index("agree") < steps.index("deploy") < steps.index("redirect")


def test_the_page_shows_users_where_they_moved_to(whole: Whole) -> None:
    if isinstance(whole.page, str):
        assert "is not installed" in whole.page, whole.page
        pytest.skip(whole.page)
    assert len(whole.page.users) == USERS
    assert set(whole.page.sites) == {"home", *PROVIDERS}
    assert not [user for user in whole.page.users if "home" in user]
    assert whole.page.decisions
    assert whole.page.errors == []


def test_ctrl_c_ends_it_cleanly_with_nothing_left_behind(whole: Whole) -> None:
    assert whole.ended.left_behind == ()
    assert "Traceback" not in whole.ended.err
    assert "error" not in whole.ended.err
