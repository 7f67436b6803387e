"""What the entries of the intent record have in common; each store has its own kinds beside it."""

from typing import Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="entry"):
    """Something that became so. Alone it says all, or names what it is about: the loss of another costs only that."""


class Keeper(Protocol):
    """Keeps entries (:class:`footloose.state.intent.Intent`), and applies each to the store it came from."""

    def promise(self, *entries: Entry) -> None:
        """On the disk when this returns, all together. Raises :class:`LocalError` if not; then none of them is."""
        ...

    def note(self, *entries: Entry) -> None:
        """As :meth:`promise`, without waiting for the disk."""
        ...
