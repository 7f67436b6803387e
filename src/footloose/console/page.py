"""Serves the operators' page: one HTML file, its styles and its modules, out of the package.

The page itself asks for its data at ``v1/view`` and ``v1/events``, relative to where it is served, so the two routes
added here can stand beside those at any prefix that ends in a slash.
"""

from functools import partial
from importlib.resources import files

import msgspec
from aiohttp import web

from footloose.core.digest import digest_of

CONTENT_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
"""What a file of the page may be, by the end of its name; nothing else is served."""

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Cache-Control": "no-cache",  # may be kept, but is asked for each time: the ETag makes that cheap
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Sent with every file. The page runs only its own files and can be turned neither into a frame nor into markup."""


class PageFile(msgspec.Struct, frozen=True):
    """One file of the page, as it is sent."""

    name: str
    content: bytes
    content_type: str
    etag: str


def page_files() -> tuple[PageFile, ...]:
    """All files of the page, read from the package (a folder or a wheel)."""
    folder = files("footloose.console") / "static"
    entries = {entry.name: entry for entry in folder.iterdir() if _suffix(entry.name) in CONTENT_TYPES}
    return tuple(_page_file(name, entries[name].read_bytes()) for name in sorted(entries))


def add_page(app: web.Application) -> None:
    """Serve the page at ``/`` of ``app`` and its other files at ``/static/``. Reads the files once, now."""
    for file in page_files():
        path = "/" if file.name == "index.html" else f"/static/{file.name}"
        app.router.add_get(path, partial(_answer, file))


async def _answer(file: PageFile, request: web.Request) -> web.Response:
    headers = HEADERS | {"ETag": f'"{file.etag}"'}
    known = request.if_none_match or ()
    if any(tag.value in (file.etag, "*") for tag in known):
        return web.Response(status=304, headers=headers)
    return web.Response(body=file.content, headers=headers, content_type=file.content_type, charset="utf-8")


def _page_file(name: str, content: bytes) -> PageFile:
    return PageFile(name, content, CONTENT_TYPES[_suffix(name)], digest_of(content).removeprefix("sha256:")[:32])


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
