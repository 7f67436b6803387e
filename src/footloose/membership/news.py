"""News waiting to be passed on, each a bounded number of times, the least often passed on first (SWIM §4.1)."""

from typing import Generic, TypeVar

from footloose.core.limits import MEMBERSHIP_NEWS

KeyT = TypeVar("KeyT")
NewsT = TypeVar("NewsT")


class NewsQueue(Generic[KeyT, NewsT]):
    """Pieces of news by key; a later one replaces an earlier one of its key."""

    def __init__(self, most: int = MEMBERSHIP_NEWS) -> None:
        self._most = most
        self._by_sends: list[dict[KeyT, tuple[NewsT, int]]] = [{}]
        self._sends: dict[KeyT, int] = {}

    def __len__(self) -> int:
        return len(self._sends)

    def put(self, key: KeyT, news: NewsT, size_bytes: int) -> None:
        """Pass this on from now on, as if never sent."""
        self.drop(key)
        if len(self._sends) >= self._most:
            self._drop_most_sent()
        self._by_sends[0][key] = (news, size_bytes)
        self._sends[key] = 0

    def drop(self, key: KeyT) -> None:
        """Stop passing this on."""
        sends = self._sends.pop(key, None)
        if sends is not None:
            del self._by_sends[sends][key]

    def take(self, room_bytes: int, limit: int, but: KeyT | None = None) -> tuple[list[NewsT], int]:
        """What fits into ``room_bytes``, and the room left. After ``limit`` times a piece is dropped.

        ``but`` is left for others: who it is about knows it.
        """
        taken: list[NewsT] = []
        moved: list[tuple[int, KeyT, tuple[NewsT, int]]] = []
        full = False
        for sends, bucket in enumerate(self._by_sends):
            while bucket and not full:
                key, piece = bucket.popitem()
                if key == but or piece[1] > room_bytes:
                    full = key != but
                    moved.append((sends, key, piece))
                    continue
                room_bytes -= piece[1]
                taken.append(piece[0])
                moved.append((sends + 1, key, piece))
            if full:
                break
        for sends, key, piece in moved:
            if sends >= limit:
                del self._sends[key]
                continue
            while sends >= len(self._by_sends):
                self._by_sends.append({})
            self._by_sends[sends][key] = piece
            self._sends[key] = sends
        return taken, room_bytes

    def _drop_most_sent(self) -> None:
        for bucket in reversed(self._by_sends):
            if bucket:
                # The one that has waited longest among those.
                self.drop(next(iter(bucket)))
                return
