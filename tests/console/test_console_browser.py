"""The page in a real browser, fed by a scripted site over real sockets."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from console_scenes import BEGAN, HOME, NOW_MS, PREFIXES, SERVICE, crowd, decisions, later, small
from console_scripted_site import ScriptedSite
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from chromium import console_errors, requested, view
from footloose.core.codec import encode
from footloose.model.app import ServiceId
from footloose.model.view import View, ViewNode

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(shared_browser: Chrome) -> Chrome:
    shared_browser.get("about:blank")
    console_errors(shared_browser)
    view(shared_browser, 1280, 800)
    return shared_browser


def wait(driver: Chrome, condition: Callable[[], Any], seconds: float = 20) -> Any:
    return WebDriverWait(driver, seconds, poll_frequency=0.05).until(lambda _: condition())


def find(driver: Chrome, selector: str) -> list[WebElement]:
    return driver.find_elements(By.CSS_SELECTOR, selector)


def words(driver: Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)"
    texts: list[str] = driver.execute_script(script, selector)
    return texts


def open_page(driver: Chrome, site: ScriptedSite) -> None:
    driver.get(site.url)
    wait(driver, lambda: words(driver, "#link-text") == ["Live"] and words(driver, "#site-name") == [site.view.name])
    wait(driver, lambda: len(words(driver, "#users-table tbody tr")) == min(200, len(site.view.users)))


def flow_bands(driver: Chrome) -> list[str]:
    script = "return [...document.querySelectorAll('#map .flows path')].map(each => each.dataset.band)"
    bands: list[str] = driver.execute_script(script)
    return bands


def test_a_view_is_shown_as_map_and_lists(browser: Chrome, site: ScriptedSite, shots: Path) -> None:
    site.view = small(1)
    site.decisions = decisions()
    open_page(browser, site)
    assert sorted(words(browser, "#users-table .name button")) == sorted(PREFIXES)
    assert words(browser, "#sites-table .name button") == ["home", "lyon", "oslo", "elsewhere", "depot"]
    assert words(browser, "#services-table td.by") == ["home", "lyon", "oslo"]
    assert len(find(browser, "#map [data-kind=router]")) == 7
    assert len(find(browser, "#map [data-kind=prefix]")) == 6
    assert len(find(browser, "#map [data-kind=site][data-state=serving]")) == 2
    assert sorted(flow_bands(browser)) == ["fair", "near", "near", "near", "near", "near"]
    assert wait(browser, lambda: len(find(browser, "#decisions li")) == len(decisions()))
    assert "First request" in words(browser, "#decisions .reason")[-1]
    assert "2 other sites serving" in (find(browser, "#map svg")[0].get_attribute("aria-label") or "")
    browser.save_screenshot(str(shots / "small.png"))


def test_the_page_follows_what_the_site_says(browser: Chrome, site: ScriptedSite) -> None:
    open_page(browser, site)
    assert set(flow_bands(browser)) == {"distant", "far", "fair"}
    assert words(browser, "#sum-copies") == ["0"]
    row = find(browser, "#users-table tbody tr")[0]
    site.show(small(1))
    site.decide(*decisions())
    wait(browser, lambda: words(browser, "#sum-copies") == ["2"])
    assert words(browser, "#sum-first") == ["81 ms at first"]
    assert flow_bands(browser).count("near") == 5
    assert wait(browser, lambda: len(find(browser, "#decisions li")) == len(decisions()))
    assert row.is_displayed(), "rows are kept while their facts change"
    for number in range(1, 5):
        site.show(later(small(1), 2 * number, [rtt + number for rtt in NOW_MS]))
    wait(browser, lambda: "35" in words(browser, "#users-table td.now"))
    line = browser.execute_script("return document.querySelector('#users-table .spark .line').getAttribute('d')")
    assert line.count("L") >= 4, "the small drawing has the figures since the page was opened"


def test_the_page_comes_back_by_itself_after_its_site_restarts(browser: Chrome, site: ScriptedSite) -> None:
    site.decisions = decisions()
    open_page(browser, site)
    wait(browser, lambda: len(find(browser, "#decisions li")) == len(decisions()))
    site.server.stop()
    wait(browser, lambda: browser.find_element(By.ID, "notice").is_displayed())
    assert "Not connected" in words(browser, "#link-text")[0]
    assert "keeps trying" in words(browser, "#notice")[0]
    assert len(find(browser, "#map [data-kind=prefix]")) == 6, "what was known stays to be seen"
    site.view = small(1)
    site.server.start()
    wait(browser, lambda: words(browser, "#link-text") == ["Live"] and words(browser, "#sum-copies") == ["2"])
    assert not browser.find_element(By.ID, "notice").is_displayed()
    assert site.followers == 2
    assert len(find(browser, "#decisions li")) == len(decisions()), "decisions told again are not shown again"


def test_an_event_that_cannot_be_read_leads_to_a_fresh_start(browser: Chrome, site: ScriptedSite) -> None:
    open_page(browser, site)
    site.view = small(1)
    site.say(b'event: view\ndata: {"at": 1, "nodes": [\n\n')
    wait(browser, lambda: words(browser, "#sum-copies") == ["2"])
    assert site.followers == 2


def test_a_silent_line_is_asked_and_old_facts_are_called_old(browser: Chrome, site: ScriptedSite) -> None:
    # Timers run 20 times as fast, and so does the clock, so that seconds of silence need not be waited for.
    fast = """
        const slow = setTimeout, now = performance.now.bind(performance);
        window.setTimeout = (work, ms) => slow(work, ms / 20);
        performance.now = () => now() * 20;
    """
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": fast})
    try:
        open_page(browser, site)
        site.view = small(1)
        wait(browser, lambda: words(browser, "#sum-copies") == ["2"])
        assert site.followers == 1, "asking does not break the line"
        wait(browser, lambda: words(browser, "#link-text")[0].startswith("Nothing new for"))
        assert browser.find_element(By.ID, "notice").is_displayed()
        site.show(small(2))
        wait(browser, lambda: words(browser, "#link-text") == ["Live"])
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})


def test_nothing_is_fetched_from_elsewhere_and_nothing_goes_wrong(browser: Chrome, site: ScriptedSite) -> None:
    site.view = small(1)
    site.decisions = decisions()
    open_page(browser, site)
    wait(browser, lambda: len(find(browser, "#decisions li")) == len(decisions()))
    addresses = requested(browser)
    assert len(addresses) > 5
    assert all(address.startswith(site.url) for address in addresses), addresses
    assert console_errors(browser) == []


def test_the_page_works_under_a_prefix(browser: Chrome, site_under_prefix: ScriptedSite) -> None:
    open_page(browser, site_under_prefix)
    assert "/tools/console/" in browser.current_url
    assert all(address.startswith(site_under_prefix.url) for address in requested(browser))
    assert console_errors(browser) == []


def hostile(markup: str) -> View:
    scene = small(1, {"lyon": markup, "home": markup})
    service = ServiceId(markup)
    return msgspec.structs.replace(
        scene,
        nodes=tuple(msgspec.structs.replace(node, label=markup) for node in scene.nodes),
        sites=tuple(
            msgspec.structs.replace(each, region=markup, gateway=f"javascript:{markup}", sources=(markup,))
            for each in scene.sites
        ),
        services=tuple(
            msgspec.structs.replace(each, service=service, state=markup, role=markup, url="javascript:alert(1)")
            for each in scene.services
        ),
        users=tuple(msgspec.structs.replace(user, service=service, address=markup) for user in scene.users),
    )


def test_text_from_the_wire_stays_text(browser: Chrome, site: ScriptedSite) -> None:
    markup = '<img src=x onerror="window.hurt=1">"\'><script>window.hurt=1</script>'
    site.view = hostile(markup)
    said = decisions()[4]
    site.decisions = [
        msgspec.structs.replace(
            said, step=markup, subject=markup, outcome=markup, reason=markup, service=markup, inputs={markup: [markup]}
        )
    ]
    open_page(browser, site)
    wait(browser, lambda: len(find(browser, "#decisions li")) == 1)
    find(browser, "#decisions summary")[0].click()
    assert markup in words(browser, "#sites-table .name button")
    assert markup in words(browser, "#decisions .reason")
    assert markup in words(browser, "#decisions dt")
    assert browser.execute_script("return document.querySelectorAll('main img, main script').length") == 0
    assert browser.execute_script("return window.hurt") is None
    point = find(browser, "#map [data-kind=here]")[0]
    browser.execute_script("arguments[0].dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))", point)
    assert markup in words(browser, "#map .tip b")
    assert console_errors(browser) == []


@pytest.mark.parametrize("scene", [small(1), crowd()], ids=["few", "many"])
def test_on_a_phone_nothing_runs_off_the_side(browser: Chrome, site: ScriptedSite, shots: Path, scene: View) -> None:
    site.view = scene
    site.decisions = decisions()
    view(browser, 390, 844)
    open_page(browser, site)
    wait(browser, lambda: len(find(browser, "#decisions li")) == len(decisions()))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert browser.execute_script("return document.querySelector('#map svg').getBoundingClientRect().right") <= 390
    heads = [cell.is_displayed() for cell in find(browser, "#users-table tbody tr:first-child td.now")]
    assert heads == [True]
    browser.save_screenshot(str(shots / "phone.png"))


def test_a_crowded_network_is_drawn_whole(browser: Chrome, site: ScriptedSite, shots: Path) -> None:
    site.view = crowd()
    open_page(browser, site)
    assert len(find(browser, "#map [data-kind=router]")) == 240
    assert len(find(browser, "#map [data-kind=prefix]")) == 100
    assert len(find(browser, "#map [data-kind=site]")) == 40
    assert len(find(browser, "#map .flows path")) == 100
    assert browser.execute_script("return document.querySelector('#map svg').getBoundingClientRect().height") < 700
    assert console_errors(browser) == []
    browser.save_screenshot(str(shots / "crowd.png"))


def test_more_users_than_can_be_drawn_are_counted_instead(browser: Chrome, site: ScriptedSite) -> None:
    site.view = crowd(sites=5, prefixes=390, routers=60)
    open_page(browser, site)
    assert len(find(browser, "#map [data-kind=prefix]")) == 300
    assert "90 quieter prefixes not drawn" in words(browser, "#map-note")[0]
    assert words(browser, "#users-count") == ["200 of 390, slowest first"]
    assert words(browser, "#sum-users") == ["390"]


def test_picking_a_user_lights_its_path_and_shows_what_concerns_it(browser: Chrome, site: ScriptedSite) -> None:
    site.view = small(1)
    site.decisions = decisions()
    open_page(browser, site)
    wait(browser, lambda: len(find(browser, "#decisions li")) == len(decisions()))
    button = next(each for each in find(browser, "#users-table .name button") if each.text == PREFIXES[0])
    button.send_keys(Keys.ENTER)
    wait(browser, lambda: words(browser, "#about span") == [f"About {PREFIXES[0]}"])
    assert button.get_attribute("aria-pressed") == "true"
    lit = words(browser, "#map [data-kind=prefix][data-lit] text")
    assert lit == [PREFIXES[0]]
    assert words(browser, "#map [data-kind=site][data-lit] text") == ["lyon"]
    assert words(browser, "#decisions summary b") == ["redirect", "choose", "trace", "observe"]
    assert words(browser, "#decisions .what")[0] == f"{PREFIXES[0]} → lyon"
    button.send_keys(Keys.ESCAPE)
    wait(browser, lambda: len(find(browser, "#decisions li")) == len(decisions()))
    assert find(browser, "#map [data-lit]") == []


def test_decisions_are_filtered_by_step_and_service_and_opened_for_their_inputs(
    browser: Chrome, site: ScriptedSite
) -> None:
    other = ServiceId("notes-abcdefghijklmnop/web")
    site.view = small(1)
    user = msgspec.structs.replace(site.view.users[0], service=other, site=HOME)
    service = msgspec.structs.replace(site.view.services[0], service=other)
    site.view = msgspec.structs.replace(
        site.view, users=(*site.view.users, user), services=(*site.view.services, service)
    )
    site.decisions = [*decisions(), msgspec.structs.replace(decisions()[0], service=other, at=BEGAN + 9)]
    open_page(browser, site)
    wait(browser, lambda: len(find(browser, "#decisions li")) == 10)
    assert words(browser, "#service option") == ["All", "notes/web", "pulse/web"]
    steps = {button.text: button for button in find(browser, "#steps button")}
    steps["choose"].click()
    wait(browser, lambda: words(browser, "#decisions summary b") == ["choose"])
    find(browser, "#decisions summary")[0].click()
    inputs = dict(zip(words(browser, "#decisions dt"), words(browser, "#decisions dd"), strict=True))
    assert inputs["gain_ms"] == "93.1"
    assert json.loads(inputs["candidates"]) == {"lyon": 93.1, "oslo": 39.8}
    assert inputs["service"] == SERVICE
    steps["observe"].click()
    wait(browser, lambda: len(find(browser, "#decisions li")) == 3)
    find(browser, f"#service option[value='{other}']")[0].click()
    wait(browser, lambda: len(find(browser, "#decisions li")) == 1)
    assert words(browser, "#users-table .name button") == [PREFIXES[0]]
    assert words(browser, "#decisions-count") == ["1 of 10"]


def test_those_who_want_no_motion_get_none(browser: Chrome, site: ScriptedSite) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    open_page(browser, site)
    assert browser.execute_script("return document.getAnimations().length") == 0


def random_view(lots: random.Random) -> View:
    """A view of a site gone mad: cycles, orphans, twins, figures missing."""
    ids = [str(number) for number in range(lots.randrange(1, 14))]
    scene = small(1)

    def figure() -> float | None:
        return lots.choice((None, 0.0, -3.0, 1e9, lots.random() * 100))

    hosts = [site.node for site in scene.sites]
    kinds = ("site", "router", "prefix", "?")
    nodes = tuple(
        ViewNode(
            lots.choice((*ids, *PREFIXES)),
            lots.choice(kinds),
            "",
            lots.choice((None, *ids, "gone")),
            figure(),
            tuple(lots.sample(hosts, 2)),
        )
        for _ in ids
    )
    sites = tuple(msgspec.structs.replace(site, rtt_ms=figure()) for site in scene.sites if lots.random() < 0.8)
    users = tuple(
        msgspec.structs.replace(user, rtt_ms=figure(), first_rtt_ms=figure(), site=lots.choice((*hosts, HOME)))
        for user in scene.users
    )
    return msgspec.structs.replace(scene, nodes=nodes, sites=sites, users=users)


def test_any_tree_whatever_can_be_laid_out(browser: Chrome, site: ScriptedSite) -> None:
    open_page(browser, site)
    lots = random.Random(11)
    views = [random_view(lots) for _ in range(300)] + [msgspec.structs.replace(small(), nodes=(), users=(), sites=())]
    script = """
        const [views, done] = arguments;
        import("./static/layout.js").then(({ layOut, way }) => {
          const faults = [];
          JSON.parse(views).forEach((view, number) => {
            const plan = layOut(view, 800);
            for (const point of plan.points) {
              const inside = point.x >= 0 && point.x <= 800 && point.y >= 0 && point.y <= plan.height;
              if (!inside) faults.push(`${number}: ${point.id} at ${point.x} ${point.y}`);
              if (point.parent && point.x < point.parent.x) faults.push(`${number}: ${point.id} before its parent`);
            }
            for (const flow of plan.flows) if (/NaN|undefined/.test(way(flow))) faults.push(`${number}: flow`);
            const users = new Set(view.users.map(user => user.prefix)).size;
            if (plan.users.size !== users) faults.push(`${number}: users lost`);
          });
          done(faults);
        }, error => done([String(error)]));
    """
    assert browser.execute_async_script(script, encode(views).decode()) == []
