"""How long to wait for an answer, from how long earlier ones took (RFC 6298 §2)."""

import msgspec

SHORTEST_S = 0.1
LONGEST_S = 1.0
_GAIN = 1 / 8
_VARIANCE_GAIN = 1 / 4


class Rtt(msgspec.Struct, frozen=True, gc=False):
    """A smoothed round-trip time and how much it varies, in seconds."""

    mean_s: float
    variation_s: float

    @classmethod
    def first(cls, sample_s: float) -> "Rtt":
        """The estimate after one sample."""
        return cls(sample_s, sample_s / 2)

    def after(self, sample_s: float) -> "Rtt":
        """The estimate after one more sample."""
        variation_s = (1 - _VARIANCE_GAIN) * self.variation_s + _VARIANCE_GAIN * abs(self.mean_s - sample_s)
        return Rtt((1 - _GAIN) * self.mean_s + _GAIN * sample_s, variation_s)

    @property
    def patience_s(self) -> float:
        """How long an answer may take before it is likelier to be lost than late."""
        return min(LONGEST_S, max(SHORTEST_S, self.mean_s + 4 * self.variation_s))
