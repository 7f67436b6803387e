"""How well this site itself keeps up (Lifeguard §IV.A, "local health multiplier")."""


class LocalHealth:
    """0 is healthy; each step multiplies the time between probes and the patience with answers."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.score = 0

    @property
    def scale(self) -> int:
        """What to multiply times with."""
        return self.score + 1

    def better(self) -> None:
        """A probe was answered."""
        if self.score:
            self.score -= 1

    def worse(self, steps: int = 1) -> None:
        """Something was missed that a healthy site would not have."""
        self.score = min(self.score + steps, self._most - 1)
