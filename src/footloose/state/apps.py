"""Apps deployed at this site: their owners' signed intents."""

from collections.abc import Iterator

import msgspec

from footloose.core.codec import Signed, decode
from footloose.model.app import App, AppId, open_app
from footloose.state.entries import Entry, Keeper


class StoredApp(msgspec.Struct, frozen=True):
    """An app and the signed intent it was read from. ``deployed_at`` in seconds."""

    app: App
    signed: Signed
    deployed_at: float


class AppKept(Entry, frozen=True, tag="app"):
    """An app was deployed, or another version of it."""

    app_id: AppId
    deployed_at: float
    signed: Signed


class AppGone(Entry, frozen=True, tag="app removed"):
    """An app was removed."""

    app_id: AppId


class AppStore:
    """The apps this site is home to."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._apps: dict[AppId, StoredApp] = {}

    def put(self, signed: Signed, now: float) -> App:
        """Keep an app, in place of an earlier version of it. On the disk when this returns.

        Raises :class:`RemoteError` if its owner did not sign it or it is none that can run, :class:`LocalError` if it
        cannot be written.
        """
        app = open_app(signed)
        self._keeper.promise(AppKept(app.app_id, now, signed))
        return app

    def get(self, app_id: AppId) -> StoredApp | None:
        """The app, if it is deployed here."""
        return self._apps.get(app_id)

    def list(self) -> tuple[StoredApp, ...]:
        """All apps, by id."""
        return tuple(self._apps[app_id] for app_id in sorted(self._apps))

    def remove(self, app_id: AppId) -> bool:
        """Forget an app; whether there was one. Raises :class:`LocalError` if that cannot be written."""
        if app_id not in self._apps:
            return False
        self._keeper.promise(AppGone(app_id))
        return True

    # For the record

    def apply(self, entry: AppKept | AppGone) -> None:
        """Take in what was written. Raises :class:`RemoteError` if it cannot be made out."""
        match entry:
            case AppKept():
                where = f"app {entry.app_id}"
                app = decode(entry.signed.payload, App, where=where, limit=len(entry.signed.payload))
                self._apps[entry.app_id] = StoredApp(app, entry.signed, entry.deployed_at)
            case AppGone():
                self._apps.pop(entry.app_id, None)

    def live(self) -> Iterator[Entry]:
        """The entries that make what is kept now."""
        for app_id, known in self._apps.items():
            yield AppKept(app_id, known.deployed_at, known.signed)
