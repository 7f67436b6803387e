"""Every command the pages show is run, in order, by a reader who never tires."""

from pathlib import Path

import pytest
from docs_session import run_page

from markdown_pages import ROOT, blocks, pages

PAGES = [
    page
    for page in pages("README.md", "CONTRIBUTING.md", "docs")
    if page.name != "cli.md"  # run against a scene that never changes, in tests/cli
    if blocks(page.read_text(), "console", "bash")
]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_commands_of_a_page_do_what_it_says(page: Path) -> None:
    assert (failure := run_page(page)) is None, failure
