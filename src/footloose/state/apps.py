"""Apps deployed at this site: their owners' signed intents."""

import msgspec

from footloose.core.codec import Signed, encode
from footloose.model.app import App, AppId, open_app
from footloose.state.database import Database
from footloose.state.rows import stored


class StoredApp(msgspec.Struct, frozen=True):
    """An app and the signed intent it was read from. ``deployed_at`` in seconds."""

    app: App
    signed: Signed
    deployed_at: float


class AppStore:
    """The apps this site is home to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, signed: Signed, now: float) -> App:
        """Keep an app, in place of an earlier version of it. On the disk when this returns.

        Raises :class:`RemoteError` if its owner did not sign it or it is none that can run, :class:`LocalError` if it
        cannot be written.
        """
        app = open_app(signed)
        with self._database.promise() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO apps (app_id, deployed_at, signed) VALUES (?, ?, ?)",
                (app.app_id, now, encode(signed)),
            )
        return app

    def get(self, app_id: AppId) -> StoredApp | None:
        """The app, if it is deployed here."""
        return next(iter(self._select("WHERE app_id = ?", app_id)), None)

    def list(self) -> tuple[StoredApp, ...]:
        """All apps, by id."""
        return self._select("ORDER BY app_id")

    def remove(self, app_id: AppId) -> bool:
        """Forget an app; whether there was one."""
        with self._database.promise() as connection:
            return connection.execute("DELETE FROM apps WHERE app_id = ?", (app_id,)).rowcount > 0

    def _select(self, where: str, *parameters: str) -> tuple[StoredApp, ...]:
        found = []
        for app_id, deployed_at, value in self._database.rows(
            f"SELECT app_id, deployed_at, signed FROM apps {where}",  # noqa: S608  ``where`` is one of ours
            parameters,
        ):
            signed = stored(value, Signed, f"app {app_id}")
            app = stored(signed.payload, App, f"app {app_id}") if signed else None
            if signed and app:
                found.append(StoredApp(app, signed, deployed_at))
        return tuple(found)
