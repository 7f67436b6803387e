"""Runtimes on both paths, shared by the tests of this room."""

from collections.abc import Iterator

import pytest
from runtimes_guests import Workshop

from footloose.runtimes.wasm.runtime import WasmRuntime


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session")
def fast() -> Iterator[WasmRuntime]:
    runtime = WasmRuntime()
    assert runtime.fast
    yield runtime
    runtime.close()


@pytest.fixture(scope="session")
def portable() -> Iterator[WasmRuntime]:
    runtime = WasmRuntime(portable=True)
    assert not runtime.fast
    yield runtime
    runtime.close()


@pytest.fixture(scope="session", params=["fast", "portable"])
def runtime(request: pytest.FixtureRequest) -> WasmRuntime:
    """Each path in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, WasmRuntime)
    return found
