"""Sites that end with the test, whatever becomes of it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from node_sites import Town

from footloose.testbed.sites import Sites


@pytest.fixture
def town() -> Iterator[Town]:
    """A place for sites of this test alone."""
    with Sites() as sites, ExitStack() as leaving:
        yield Town(sites, leaving)
