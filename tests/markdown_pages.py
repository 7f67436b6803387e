"""Reading Markdown pages: fenced blocks, headings and links."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r"<!-- docs-test: ([^\n]*?) -->\s*\Z")
_HEADING = re.compile(r"^#{1,6} +(.*?) *$", re.MULTILINE)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|(?:src|srcset|href)=\"([^\"]+)\"")


class Block(msgspec.Struct, frozen=True):
    """A fenced block: its language, its text, its line, and what a ``<!-- docs-test: … -->`` just above it says."""

    language: str
    text: str
    line: int
    note: str = ""


def pages(*places: str) -> list[Path]:
    """The Markdown files at these places, folders searched through."""
    found = [ROOT / place for place in places]
    return sorted(page for place in found for page in (place.rglob("*.md") if place.is_dir() else [place]))


def blocks(page: str, *languages: str) -> list[Block]:
    """The fenced blocks of ``page`` in these languages (all, if none is named), in order."""
    return [block for block in _blocks(page) if not languages or block.language in languages]


def _blocks(page: str) -> Iterator[Block]:
    for found in _FENCE.finditer(page):
        note = _NOTE.search(page, 0, found.start())
        indent = len(found[1])
        text = "".join(line[indent:] for line in found[3].splitlines(keepends=True))
        yield Block(found[2], text, page.count("\n", 0, found.start()) + 1, note[1].strip() if note else "")


def prose(page: str) -> str:
    """``page`` without its fenced blocks."""
    return _FENCE.sub("", page)


def anchors(page: str) -> set[str]:
    """What a link into ``page`` may name: its headings, as GitHub writes them."""
    return {_slug(heading) for heading in _HEADING.findall(prose(page))}


def _slug(heading: str) -> str:
    text = re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def links(page: str) -> list[str]:
    """The targets of all links and pictures of ``page``."""
    return [first or second for first, second in _LINK.findall(prose(page))]
