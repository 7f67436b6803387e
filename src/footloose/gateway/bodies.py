"""Bodies that come while their request is being answered: how fast they must come, and how large they may grow."""

from footloose.core.limits import BODY_BYTES_PER_S, REQUEST_BODY_BYTES
from footloose.gateway.http1 import Incoming
from footloose.gateway.responses import text_response

TOO_LARGE = text_response(413, f"a request body may be {REQUEST_BODY_BYTES} bytes here")


class Watch:
    """Looks after one body: over ``window_s`` it comes at BODY_BYTES_PER_S, is kept waiting, or is cut."""

    def __init__(self, incoming: Incoming, window_s: float, now_s: float) -> None:
        self._incoming = incoming
        self._window_s = window_s
        self._since_s = now_s
        self._mark_bytes = incoming.total_bytes

    def too_slow(self, now_s: float, *, kept_waiting: bool) -> bool:
        """Whether it is to be cut at ``now_s`` of the loop's clock."""
        if not kept_waiting and now_s - self._since_s < self._window_s:
            return False
        came_bytes = self._incoming.total_bytes - self._mark_bytes
        enough = came_bytes >= BODY_BYTES_PER_S * self._window_s
        self._since_s, self._mark_bytes = now_s, self._incoming.total_bytes
        return not kept_waiting and not enough


def outgrown(incoming: Incoming) -> bool:
    """Whether a body is too large for a guest that gets it whole."""
    return max(incoming.total_bytes, incoming.length or 0) > REQUEST_BODY_BYTES


def whole(incoming: Incoming) -> bytes:
    """All of a body that is complete."""
    return b"".join(incoming.pieces)
