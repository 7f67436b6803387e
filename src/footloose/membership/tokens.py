"""Tokens that show where their bearer is, without anything kept per bearer (as the cookies of RFC 7873)."""

import hashlib
import random

from footloose.membership.events import Received

LIFETIME_S = 1800.0
"""A token is good for this long at least and twice as long at most: longer than a round of probes takes."""
_KEY_BYTES, _TOKEN_BYTES = 32, 4


class Tokens:
    """What one site gives to those whose addresses it does not know to be theirs."""

    def __init__(self, rng: random.Random) -> None:
        self._key = rng.getrandbits(8 * _KEY_BYTES).to_bytes(_KEY_BYTES, "big")

    def make(self, received: Received, now: float) -> int:
        """The token for whoever sent this, if it is where it says. Never 0."""
        return self._token(received, int(now // LIFETIME_S))

    def genuine(self, token: int, received: Received, now: float) -> bool:
        """Whether ``token`` was given to the sender of this at its address, not long ago."""
        period = int(now // LIFETIME_S)
        return token != 0 and token in (self._token(received, period), self._token(received, period - 1))

    def _token(self, received: Received, period: int) -> int:
        about = f"{received.sender} {received.source.host} {received.source.port} {period}"
        digest = hashlib.blake2b(about.encode(), key=self._key, digest_size=_TOKEN_BYTES).digest()
        return int.from_bytes(digest, "big") or 1
