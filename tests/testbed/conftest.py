"""What the tests of real testbeds share."""

from collections.abc import Iterator

import pytest

from footloose.testbed import Testbed, available, icon


@pytest.fixture(autouse=True)
def _namespaces(request: pytest.FixtureRequest) -> None:
    """Skip tests that need namespaces where the kernel gives none."""
    if request.node.get_closest_marker("root") and not available():
        pytest.skip(available().why)


@pytest.fixture
def net() -> Iterator[Testbed]:
    """The thesis' network, up."""
    with Testbed(icon()) as net:
        yield net
