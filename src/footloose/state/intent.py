"""What this site agreed to run, and how its operator wants it: apps, leases of both sides, orders, in one record.

Start-up reads it and needs nothing else: no network, and no other file but the artifacts.
"""

import logging
import re
from collections.abc import Iterable, Iterator

import msgspec

from footloose.core.codec import encode
from footloose.core.errors import FootlooseError, RemoteError
from footloose.core.limits import ENDED_LEASES_KEPT, LOSSES_NAMED
from footloose.core.printable import printable
from footloose.state.apps import AppGone, AppKept, AppStore
from footloose.state.entries import Entry
from footloose.state.frames import Loss, Scan
from footloose.state.leases import LeaseKept, LeaseOver, LeaseStands, LeaseStore
from footloose.state.orders import Ordered, OrderStore
from footloose.state.record import Record
from footloose.state.volume import Volume

log = logging.getLogger(__name__)

INTENT = "intent.log"
_NAMED = re.compile(rb'"(app|lease)_id":"([^"\\]{1,100})"')

_ENTRIES = msgspec.json.Decoder(list[AppKept | AppGone | LeaseKept | LeaseStands | LeaseOver | Ordered])


class Intent:
    """The stores, and the record they are kept in. ``loss`` says what of it was lost, if anything."""

    def __init__(self, volume: Volume, name: str = INTENT, *, ended_kept: int = ENDED_LEASES_KEPT) -> None:
        """Read the record, made if there is none; see :meth:`_read`."""
        self._record = Record(volume, name, self._live)
        self.apps = AppStore(self)
        self.leases = LeaseStore(self, ended_kept=ended_kept)
        self.orders = OrderStore(self)
        self.loss = self._read()

    def promise(self, *entries: Entry) -> None:
        """Write entries, all of them or none; they are on the disk when this returns.

        Raises :class:`LocalError` if they cannot be written; then they are not kept (but may come back after a crash,
        if that is before the next promise).
        """
        self._write(entries, durable=True)

    def note(self, *entries: Entry) -> None:
        """As :meth:`promise`, without waiting for the disk: the last notes may be lost with the power."""
        self._write(entries, durable=False)

    def _write(self, entries: tuple[Entry, ...], *, durable: bool) -> None:
        self._record.append(encode(entries), durable=durable)
        for entry in entries:
            self._apply(entry)
        self._record.shrink()

    def _live(self) -> Iterator[bytes]:
        for store in (self.apps, self.leases, self.orders):
            for entry in store.live():
                yield encode([entry])

    # At the start

    def _read(self) -> str | None:
        """Read all entries that can be read back. What is lost is named here, in the log, and kept aside.

        Raises :class:`LocalError` if the record is of a newer version, or cannot be read or written.
        """
        found, content = self._record.replay()
        lost = [_told(one, content) for one in found.losses]
        lost += self._replay(found)
        aside = self._record.settle(found, content, damaged=bool(lost))
        if found.cut_short is not None:
            log.warning(
                "%s: %s, as when the power goes while it is written: it was not acknowledged",
                self._record.where,
                _told(found.cut_short, content),
            )
        if not lost:
            return None
        loss = (
            f"{self._record.where}: the record of what this site agreed to run was damaged. "
            f"{len(found.entries)} of its entries are recovered. Lost: {_listed(lost)}. "
            f"The damaged record is kept as {aside} (restore a backup, or deploy again the apps that are missing)"
        )
        log.error(loss)
        return loss

    def _replay(self, found: Scan) -> list[str]:
        """Apply all entries; what could not be made out, once each."""
        trouble: dict[str, None] = {}
        for kept in found.entries:
            try:
                for entry in _entries(kept.payload, f"entry {kept.sequence}"):
                    self._apply(entry)
            except FootlooseError as error:
                trouble[str(error)] = None
        return list(trouble)

    def _apply(self, entry: Entry) -> None:
        match entry:
            case AppKept() | AppGone():
                self.apps.apply(entry)
            case LeaseKept() | LeaseStands() | LeaseOver():
                self.leases.apply(entry)
            case Ordered():
                self.orders.apply(entry)


def _entries(payload: bytes, where: str) -> Iterable[Entry]:
    try:
        return _ENTRIES.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"none that this version knows: {error}", where=where) from error


def _told(loss: Loss, content: bytes) -> str:
    """A loss in words, with the apps and leases that what is left of it speaks of."""
    piece = content[loss.offset : loss.offset + loss.size_bytes]
    spoken = {f"{kind.decode()} {printable(name.decode(errors='replace'))}" for kind, name in _NAMED.findall(piece)}
    end = loss.offset + loss.size_bytes
    at = f"bytes {loss.offset} to {end}" if loss.size_bytes else f"at byte {loss.offset}"
    return f"{at}: {loss.what}" + (f" (it spoke of {_listed(sorted(spoken))})" if spoken else "")


def _listed(texts: Iterable[str]) -> str:
    named = list(texts)
    more = f"; and {len(named) - LOSSES_NAMED} more" if len(named) > LOSSES_NAMED else ""
    return "; ".join(named[:LOSSES_NAMED]) + more
