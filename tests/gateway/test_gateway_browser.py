"""A browser comes by TLS and listens to a guest that goes on."""

import asyncio
from pathlib import Path

import pytest
from gateway_support import WEB, Sites, StreamingGuest
from selenium.webdriver.support.ui import WebDriverWait

from chromium import FLAGS, chromium
from footloose.gateway.tls import CertificateFiles
from footloose.model.guest import Exchange
from footloose.node.certificates import read_certificate
from tls_files import write_certificate

PATIENCE_S = 60
PAGE = b"""<!doctype html><meta charset="utf-8"><title>events</title><script>
async function upload() {
  const answer = await fetch("go-on", {method: "POST", body: "x".repeat(200000)});
  document.documentElement.dataset.uploaded = await answer.text();
}
const seen = [];
const source = new EventSource("events");
source.onmessage = (event) => {
  seen.push(event.data);
  document.title = seen.join(" ");
  if (event.data === "one") upload();
  if (event.data === "two") source.close();
};
</script>"""


class Guest:
    """Serves the page; sends an event at once, and another when the page has asked for it."""

    def __init__(self) -> None:
        self.go_on = False

    def __call__(self, environment: dict[str, str], exchange: Exchange) -> None:
        path = environment["PATH_INFO"]
        if path == "/events":
            exchange.write(b"Content-Type: text/event-stream\r\n\r\ndata: one\n\n")
            while not self.go_on:
                exchange.sleep(0.01)
            exchange.write(b"data: two\n\n")
        elif path == "/go-on":
            total = 0
            while piece := exchange.read(65536):
                total += len(piece)
            self.go_on = True
            exchange.write(b"Content-Type: text/plain\r\n\r\n%d by %b" % (total, environment["HTTPS"].encode()))
        else:
            exchange.write(b"Content-Type: text/html\r\n\r\n" + PAGE)


@pytest.mark.browser
async def test_a_browser_sees_events_as_they_are_written_and_uploads_by_tls(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = read_certificate(CertificateFiles(*write_certificate(tmp_path, "localhost", "127.0.0.1")))
    site = await sites.start({"guest": StreamingGuest(Guest())}, tls=[certificate])
    monkeypatch.setattr("chromium.FLAGS", (*FLAGS, "--ignore-certificate-errors"))

    def look() -> tuple[str, str]:
        with chromium(tmp_path / "profile") as browser:
            browser.get(f"https://127.0.0.1:{site.tls_port}/{WEB}/")
            waiting = WebDriverWait(browser, PATIENCE_S)
            waiting.until(lambda driver: driver.title == "one two")
            uploaded = "return document.documentElement.dataset.uploaded || ''"
            waiting.until(lambda driver: driver.execute_script(uploaded))
            return browser.title, browser.execute_script(uploaded)

    assert await asyncio.to_thread(look) == ("one two", "200000 by on")
