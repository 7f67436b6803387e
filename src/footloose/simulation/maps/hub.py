"""Published networks from the package ``topohub`` (P. Jurkiewicz, SoftwareX 2023), where it is installed.

Its groups: ``caida`` (router-level graphs of autonomous systems, from CAIDA's Ark), ``topozoo`` (Internet Topology
Zoo), ``backbone`` (continents), ``sndlib`` and ``gabriel`` (made up). Nothing of it is part of this project.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated

import msgspec
from msgspec import Meta

from footloose.core.errors import LocalError
from footloose.simulation.maps.graph import Edge, GraphMap
from footloose.simulation.maps.interface import Place

MS_PER_KM = 0.01
"""Round trip of a kilometre of fibre: light goes about 200 km in a millisecond there."""
LINK_MS = 0.1
"""Round trip that the two routers of a link add, however short it is."""
_FIX = "pip install topohub"


class _Node(msgspec.Struct, frozen=True):
    id: int | str
    pos: Annotated[tuple[float, float], Meta(description="longitude, latitude")]
    name: str = ""


class _Link(msgspec.Struct, frozen=True):
    source: int | str
    target: int | str
    dist: Annotated[float, Meta(ge=0)]


class _Graph(msgspec.Struct, frozen=True):
    nodes: list[_Node]
    edges: list[_Link]


def hub_map(key: str, *, ms_per_km: float = MS_PER_KM, link_ms: float = LINK_MS) -> GraphMap:
    """The network named ``key``, such as ``topozoo/Abilene``. Raises :class:`LocalError` if it cannot be had."""
    try:
        # Not by topohub.get(), which leaves the file open.
        graph = msgspec.json.decode((_data() / f"{key}.json").read_bytes(), type=_Graph)
    except OSError as error:
        raise LocalError(f"topohub has no network {key!r}", where="topohub", fix="see hub_names()") from error
    except msgspec.DecodeError as error:
        raise LocalError(f"not a graph as expected: {error}", where=f"topohub {key}", fix=_FIX + "==1.5.1") from error
    numbers = {node.id: number for number, node in enumerate(graph.nodes)}
    places = [Place(node.name or str(node.id), node.pos[0], node.pos[1]) for node in graph.nodes]
    edges = [
        Edge(numbers[link.source], numbers[link.target], link.dist * ms_per_km + link_ms)
        for link in graph.edges
        if link.source in numbers and link.target in numbers
    ]
    return GraphMap(key, places, edges)


def hub_names(group: str) -> list[str]:
    """The keys of all networks of a group, in order. Raises :class:`LocalError` if topohub is not installed."""
    return sorted(_json_below(_data() / group, group))


def _json_below(folder: Traversable, prefix: str) -> list[str]:
    if not folder.is_dir():
        raise LocalError(f"topohub has no group {prefix!r}", where="topohub", fix="caida, topozoo, backbone, …")
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _json_below(entry, f"{prefix}/{entry.name}")
        elif entry.name.endswith(".json"):
            found.append(f"{prefix}/{entry.name.removesuffix('.json')}")
    return found


def _data() -> Traversable:
    try:
        return files("topohub") / "data"
    except ModuleNotFoundError as error:
        raise LocalError("the networks are in the package topohub", where="topohub", fix=_FIX) from error
