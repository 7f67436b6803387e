"""The tables, as migrations: each entry brings a database from one ``user_version`` to the next. Never edit one that
was released; add another. Values are JSON as :mod:`footloose.core.codec` writes it; columns are what is searched by."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE decisions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            service TEXT NOT NULL,
            decision BLOB NOT NULL
        )""",
        "CREATE INDEX decisions_by_service ON decisions (service, id)",
        """CREATE TABLE guest_logs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            service TEXT NOT NULL,
            at REAL NOT NULL,
            text TEXT NOT NULL
        )""",
        "CREATE INDEX guest_logs_by_service ON guest_logs (service, id)",
        """CREATE TABLE sites (
            node TEXT PRIMARY KEY,
            seen_at REAL NOT NULL,
            issued_at REAL NOT NULL,
            signed BLOB NOT NULL
        )""",
        "CREATE INDEX sites_by_seen ON sites (seen_at)",
    ),
)
