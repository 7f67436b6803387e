"""Notices users who are sent in a circle.

Two sites measure a user at different moments, so each may for a while take the other for nearer. A user who keeps
coming back for the same thing is then served where it is: a longer way, but no error.
"""

from collections import OrderedDict

import msgspec

SENT_ON_AT_MOST = 2
"""Times one user is sent on for the same thing within the time below. Three sites in a circle make 6 redirects of it,
fewer than any client follows (curl -L 50, browsers 20, aiohttp 10)."""
WITHIN_S = 2.0
REMEMBERED = 10_000
"""Users and paths remembered; the longest unheard of go first."""


class _Sent(msgspec.Struct):
    since: float
    times: int


class Circles:
    """Counts how often each user was sent on lately, for each thing it asked for."""

    def __init__(self, *, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._sent: OrderedDict[tuple[str, str], _Sent] = OrderedDict()

    def sent_too_often(self, address: str, what: str, now: float) -> bool:
        """Count one more time that the user at ``address`` is to be sent on for ``what`` it asks; whether it should be
        served instead."""
        key = (address, what)
        sent = self._sent.get(key)
        if sent is None or now - sent.since > WITHIN_S:
            sent = self._sent[key] = _Sent(now, 0)
        self._sent.move_to_end(key)
        if len(self._sent) > self._remembered:
            self._sent.popitem(last=False)
        if sent.times >= SENT_ON_AT_MOST:
            return True
        sent.times += 1
        return False
