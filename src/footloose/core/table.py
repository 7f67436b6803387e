"""Legal transitions of a protocol as a table, which the docs' diagrams are drawn from."""

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

from footloose.core.errors import IllegalTransition

StateT = TypeVar("StateT", bound=Enum)
EventT = TypeVar("EventT", bound=Enum)


class TransitionTable(Generic[StateT, EventT]):
    """``{(state, event): next_state}``; anything not listed is illegal."""

    def __init__(self, name: str, transitions: Mapping[tuple[StateT, EventT], StateT]) -> None:
        self.name = name
        self._transitions = dict(transitions)

    def next(self, state: StateT, event: EventT) -> StateT:
        """The state after ``event``. Raises :class:`IllegalTransition` if the table has no such row."""
        following = self._transitions.get((state, event))
        if following is None:
            raise IllegalTransition(f"{event.value!r} is not legal in state {state.value!r}", where=self.name)
        return following

    def allows(self, state: StateT, event: EventT) -> bool:
        """Whether the table has a row for ``event`` in ``state``."""
        return (state, event) in self._transitions

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram, for the docs."""
        rows = sorted(
            f"    {before.value} --> {after.value}: {event.value}"
            for (before, event), after in self._transitions.items()
        )
        return "\n".join(["stateDiagram-v2", *rows])
