"""The page as files: how they are served, and what they may not contain."""

import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import footloose
from footloose.console.page import PageFile, add_page, page_files

Client = TestClient[web.Request, web.Application]
NAMES = [file.name for file in page_files()]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application()
    add_page(app)
    async with TestClient(TestServer(app)) as made:
        yield made


async def test_the_page_is_served_at_the_root_with_a_strict_policy(client: Client) -> None:
    async with client.get("/") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "index.html"])
async def test_each_file_has_the_type_browsers_want(client: Client, name: str) -> None:
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    async with client.get(f"/static/{name}") as answer:
        assert answer.status == 200
        assert answer.content_type == types[name.rpartition(".")[2]]
        assert await answer.read()


@pytest.mark.parametrize(
    "path", ["/static/", "/static/index.html", "/static/../page.py", "/static/%2e%2e/page.py", "/x"]
)
async def test_nothing_but_the_files_of_the_page_is_served(client: Client, path: str) -> None:
    async with client.get(path) as answer:
        assert answer.status == 404


async def test_a_file_that_has_not_changed_is_not_sent_again(client: Client) -> None:
    async with client.get("/static/main.js") as first:
        tag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "no-cache"
    async with client.get("/static/main.js", headers={"If-None-Match": f'"other", {tag}'}) as again:
        assert again.status == 304
        assert await again.read() == b""
    async with client.get("/static/main.js", headers={"If-None-Match": '"other"'}) as changed:
        assert changed.status == 200


async def test_every_file_the_page_names_is_there(client: Client) -> None:
    for file in page_files():
        content = file.content.decode()
        named = re.findall(r'(?:src|href)="static/([^"]+)"', content) + re.findall(r'from "\./([^"]+)"', content)
        for name in named:
            async with client.get(f"/static/{name}") as answer:
                assert answer.status == 200, f"{file.name} names {name}"


@pytest.mark.parametrize("file", page_files(), ids=NAMES)
def test_no_file_reaches_outside_or_makes_markup_from_text(file: PageFile) -> None:
    content = file.content.decode()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|(?:src|href)=\"/|url\(", content)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", content)
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", content)


def test_the_page_loads_from_a_zipped_package(tmp_path: Path) -> None:
    package = Path(footloose.__file__).parent
    archive = tmp_path / "footloose.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for room in ("core", "console"):
            for file in (package / room).rglob("*"):
                if "__pycache__" not in file.parts:
                    zipped.write(file, Path("footloose") / file.relative_to(package))
        zipped.write(package / "__init__.py", "footloose/__init__.py")
    script = (
        f"import sys; sys.path.insert(0, {str(archive)!r})\n"
        "from footloose.console import page\n"
        f"assert page.__file__.startswith({str(archive)!r}), page.__file__\n"
        "print(*(file.name for file in page.page_files()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == NAMES
