"""What the tests of real testbeds share."""

import subprocess
from collections.abc import Iterator
from functools import cache

import pytest

from footloose.testbed import Testbed, available, icon


@pytest.fixture(autouse=True)
def _namespaces(request: pytest.FixtureRequest) -> None:
    """Skip tests that need namespaces where the kernel gives none."""
    if request.node.get_closest_marker("root") and not available():
        pytest.skip(available().why)
    if request.node.get_closest_marker("user_namespaces") and (why := _no_user_namespaces()):
        pytest.skip(why)


@cache
def _no_user_namespaces() -> str:
    """Why no user namespace can be made here (in a chroot, for one), or nothing if one can."""
    done = subprocess.run(["unshare", "-Ur", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip()


@pytest.fixture
def net() -> Iterator[Testbed]:
    """The thesis' network, up."""
    with Testbed(icon()) as net:
        yield net
