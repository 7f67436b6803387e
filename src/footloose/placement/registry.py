"""Placers by name: those that come with Footloose, and those other packages offer.

A package offers one as an entry point of the group ``footloose.placers`` that names its class; see
``docs/how-to/write-a-placer.md``.
"""

from importlib.metadata import EntryPoint, entry_points

from footloose.core.errors import LocalError
from footloose.placement.betweenness import Betweenness
from footloose.placement.greedy import Greedy
from footloose.placement.interface import Placer
from footloose.placement.most_clients import MostClients
from footloose.placement.random_choice import RandomChoice

ENTRY_POINTS = "footloose.placers"

_BUILT_IN: dict[str, Placer] = {one.name: one for one in (Greedy(), Betweenness(), MostClients(), RandomChoice())}


def placer(name: str) -> Placer:
    """The placer called ``name``. Raises :class:`LocalError` if there is none or it cannot be loaded."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    for offered in _offered():
        if offered.name == name:
            return _load(offered)
    raise LocalError(f"there is no placer {name!r}", fix=f"choose one of {', '.join(placer_names())}")


def placer_names() -> tuple[str, ...]:
    """The names of all placers, the built-in ones first."""
    others = sorted({offered.name for offered in _offered()} - _BUILT_IN.keys())
    return (*_BUILT_IN, *others)


def _offered() -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINTS))


def _load(offered: EntryPoint) -> Placer:
    where = f"entry point {offered.name} = {offered.value}"
    try:
        made = offered.load()()
    except Exception as error:  # someone else's code may raise anything
        raise LocalError(
            f"this placer cannot be loaded: {error!r}", where=where, fix="mend or remove its package"
        ) from error
    if not callable(getattr(made, "place", None)):
        raise LocalError("this is not a placer: it has no method place", where=where, fix="name a class that has one")
    return made  # type: ignore[no-any-return]
