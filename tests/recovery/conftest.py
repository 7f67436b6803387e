"""The land that tests of recovery share; each finds it and leaves it in order."""

from collections.abc import Iterator

import pytest
from demo_world import Person
from recovery_world import USER, Land, land

from footloose.testbed import available


@pytest.fixture(scope="package")
def shared_land(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Land, Person]]:
    """With somebody whom the sample app followed to the edge."""
    if not available():
        pytest.skip(available().why)
    with land(tmp_path_factory.mktemp("land")) as made, made.world.person(USER) as ann:
        ann.comes_to(made.world.site["a-site"])
        yield made, ann


@pytest.fixture
def here(shared_land: tuple[Land, Person]) -> Iterator[Land]:
    """The land in order: all links whole, all sites up, all copies serving, and its user at the edge."""
    made, ann = shared_land
    made.restored()
    ann.comes_to(made.world.site["a-site"])
    yield made
    made.net.heal_all()
