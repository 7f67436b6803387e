"""Whether all that a scenario takes from elsewhere is there: its map, the places it names, traces of users."""

from collections.abc import Iterator

from footloose.core.errors import LocalError
from footloose.simulation.ground import ground_of
from footloose.simulation.motion import cells_of
from footloose.simulation.scenario import Scenario, Trace


def check_places(scenario: Scenario) -> None:
    """Raises :class:`LocalError` if a map or a trace cannot be read, or the map has no such place."""
    ground = ground_of(scenario.map)
    known = {*ground.places, *scenario.site_names, ""}
    for key, place in _places(scenario):
        if place not in known:
            some = ", ".join(ground.places[:5])
            raise LocalError(
                f"the map has no place {place[:60]!r}",
                where=f"{scenario.name}: {key}",
                fix=f"its places are {some}, ...",
            )
    for file in {entry.motion.file for entry in scenario.users if isinstance(entry.motion, Trace)}:
        cells_of(file)


def _places(scenario: Scenario) -> Iterator[tuple[str, str]]:
    for index, site in enumerate(scenario.sites):
        yield f"sites[{index}].at", site.at
    for index, entry in enumerate(scenario.users):
        yield f"users[{index}].at", entry.at
        if entry.crowd is not None:
            yield f"users[{index}].crowd.place", entry.crowd.at
