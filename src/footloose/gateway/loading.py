"""Guests that are loaded when they are first asked for, and put away while nobody asks."""

from collections.abc import Callable

from footloose.model.guest import Guest


class LazyGuest:
    """One service's guest. ``load`` gives it, or None if it cannot be run; then that is so for good."""

    __slots__ = ("_guest", "_load", "_looked", "used")

    def __init__(self, load: Callable[["LazyGuest"], Guest | None]) -> None:
        self._load = load
        self._guest: Guest | None = None
        self._looked = False
        self.used = False
        """Whether it was asked for since somebody last set this to False."""

    @property
    def loaded(self) -> bool:
        """Whether it is in memory."""
        return self._guest is not None

    @property
    def failed(self) -> bool:
        """Whether it was found that it cannot be run."""
        return self._looked and self._guest is None

    def get(self) -> Guest | None:
        """The guest, loaded now if it is not; None if it cannot be run."""
        self.used = True
        if not self._looked:
            self._guest = self._load(self)
            self._looked = True
        return self._guest

    def put_away(self) -> None:
        """Forget it until it is asked for again."""
        if self._guest is not None:
            self._guest = None
            self._looked = False


class LoadedGuests:
    """Those in memory. When there are more than ``most``, those go that nobody asked for since the last look."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: list[LazyGuest] = []

    def __len__(self) -> int:
        return len(self._all)

    def add(self, guest: LazyGuest) -> None:
        """It is in memory now."""
        self._all.append(guest)

    def keep_only(self, wanted: set[LazyGuest]) -> None:
        """The table in force has no others."""
        self._all = [guest for guest in self._all if guest in wanted]

    def tidy(self) -> None:
        """Put away what nobody asked for lately, oldest first, until no more are left than may be."""
        surplus = len(self._all) - self._most
        if surplus <= 0:
            return
        kept: list[LazyGuest] = []
        for guest in self._all:
            if surplus > 0 and not guest.used:
                guest.put_away()
                surplus -= 1
            else:
                guest.used = False
                kept.append(guest)
        self._all = kept
