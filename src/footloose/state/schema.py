"""The tables, as migrations: each entry brings a database from one ``user_version`` to the next. Never edit one that
was released; add another. Values are JSON as :mod:`footloose.core.codec` writes it; columns are what is searched by."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE apps (
            app_id TEXT PRIMARY KEY,
            deployed_at REAL NOT NULL,
            signed BLOB NOT NULL
        )""",
        """CREATE TABLE leases (
            side TEXT NOT NULL,
            lease_id TEXT NOT NULL,
            customer TEXT NOT NULL,
            request_id TEXT NOT NULL,
            starts_at REAL NOT NULL,
            signed BLOB NOT NULL,
            request BLOB NOT NULL,
            evidence BLOB,
            state TEXT NOT NULL,
            ending TEXT,
            ends_by REAL,
            ended_at REAL,
            PRIMARY KEY (side, lease_id)
        )""",
        "CREATE INDEX leases_by_request ON leases (side, customer, request_id)",
        "CREATE INDEX leases_by_end ON leases (side, ended_at)",
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
    (
        """CREATE TABLE orders (
            kind TEXT NOT NULL,
            about TEXT NOT NULL,
            wanted TEXT NOT NULL,
            PRIMARY KEY (kind, about)
        )""",
    ),
)
