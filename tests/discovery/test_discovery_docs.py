"""The diagrams in the docs are those of the tables in the code."""

from pathlib import Path

import pytest

from footloose.core.table import TransitionTable
from footloose.discovery.dht.lookup import LOOKUP, QUERY
from footloose.discovery.dht.routing import CONTACT

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "discovery.md"


@pytest.mark.parametrize("table", [CONTACT, LOOKUP, QUERY], ids=lambda table: table.name)
def test_the_page_shows_the_table(table: TransitionTable) -> None:  # type: ignore[type-arg]
    assert table.mermaid() in PAGE.read_text()
