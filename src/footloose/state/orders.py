"""What the site's operator asked for by hand and wants to last: moves of services, sites to avoid, to be drained."""

from collections.abc import Iterator

from footloose.core.identity import NodeId
from footloose.model.app import ServiceId
from footloose.state.entries import Entry, Keeper

_MOVE, _AVOID, _DRAIN = "move", "avoid", "drain"


class Ordered(Entry, frozen=True, tag="order"):
    """The operator wants something of ``about``, or (None) no longer."""

    kind: str
    about: str
    wanted: str | None


class OrderStore:
    """The operator's standing orders. On the disk when a method returns, or :class:`LocalError`."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._orders: dict[tuple[str, str], str] = {}

    def moved_to(self, service: ServiceId) -> NodeId | None:
        """Where all users of a service are to be, if anywhere."""
        found = self._orders.get((_MOVE, service))
        return NodeId(found) if found is not None else None

    def move(self, service: ServiceId, site: NodeId | None) -> None:
        """All users of ``service`` are to be at ``site``, or (None) wherever is best for them."""
        self._set(_MOVE, service, site)

    def avoided(self) -> tuple[NodeId, ...]:
        """The sites that are to get no copies."""
        return tuple(NodeId(about) for kind, about in sorted(self._orders) if kind == _AVOID)

    def avoid(self, site: NodeId, *, avoid: bool) -> None:
        """``site`` is to get no copies, or may again."""
        self._set(_AVOID, site, "" if avoid else None)

    def draining(self) -> str | None:
        """Why this site is to take no copies, if it is not."""
        return self._orders.get((_DRAIN, ""))

    def drain(self, reason: str | None) -> None:
        """This site is to take no copies, or (None) may again."""
        self._set(_DRAIN, "", reason)

    def _set(self, kind: str, about: str, wanted: str | None) -> None:
        if self._orders.get((kind, about)) != wanted:
            self._keeper.promise(Ordered(kind, about, wanted))

    # For the record

    def apply(self, entry: Ordered) -> None:
        """Take in what was written."""
        if entry.wanted is None:
            self._orders.pop((entry.kind, entry.about), None)
        else:
            self._orders[entry.kind, entry.about] = entry.wanted

    def live(self) -> Iterator[Entry]:
        """The entries that make what is kept now."""
        for (kind, about), wanted in self._orders.items():
            yield Ordered(kind, about, wanted)
