"""How many connections each user address has open: one crowd must not shut out all others."""


class Crowd:
    """Counts by IPv4 address and, as one user commonly has all of it, by IPv6 /64."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        """Count one more; False if that would be one too many."""
        place = _place(address)
        count = self._open.get(place, 0)
        if count >= self._most:
            return False
        self._open[place] = count + 1
        return True

    def keep(self, address: str) -> None:
        """Count one that has entered before, under whatever name, and stays."""
        place = _place(address)
        self._open[place] = self._open.get(place, 0) + 1

    def leave(self, address: str) -> None:
        """One that entered is gone."""
        place = _place(address)
        count = self._open[place] - 1
        if count:
            self._open[place] = count
        else:
            del self._open[place]


def _place(address: str) -> str:
    if ":" not in address:
        return address
    head = address.partition("::")[0].split(":")[:4]  # short of four groups where the zeros begin within the /64
    return ":".join(head)
