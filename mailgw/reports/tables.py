"""The tables of reports, in `reports.db` of the state directory."""

from __future__ import annotations

from pathlib import Path

DAY = 86400
"""Seconds. Days are those of UTC, by their number since the epoch."""

MIGRATIONS = (
    """
    CREATE TABLE observed_policy (
        day INTEGER NOT NULL,
        domain TEXT NOT NULL,
        published TEXT NOT NULL,
        PRIMARY KEY (day, domain)
    ) WITHOUT ROWID;
    CREATE TABLE observed (
        day INTEGER NOT NULL,
        domain TEXT NOT NULL,
        facts TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (day, domain, facts)
    ) WITHOUT ROWID;
    CREATE TABLE issued (
        source TEXT NOT NULL,
        day INTEGER NOT NULL,
        subject TEXT NOT NULL,
        state TEXT NOT NULL,
        at REAL NOT NULL,
        detail TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (source, day, subject)
    ) WITHOUT ROWID;
    CREATE TABLE received (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        reporter TEXT NOT NULL,
        report_id TEXT NOT NULL,
        domain TEXT NOT NULL,
        begins INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        stored REAL NOT NULL,
        UNIQUE (kind, reporter, report_id, domain, begins)
    );
    CREATE INDEX received_by_end ON received (ends);
    CREATE INDEX received_by_stored ON received (stored);
    CREATE TABLE received_row (
        report INTEGER NOT NULL REFERENCES received (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        source TEXT NOT NULL,
        count INTEGER NOT NULL,
        facts TEXT NOT NULL,
        PRIMARY KEY (report, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE tls_seen (
        day INTEGER NOT NULL,
        domain TEXT NOT NULL,
        policy TEXT NOT NULL,
        failure TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (day, domain, policy, failure)
    ) WITHOUT ROWID
    """,
)


def database_path(state_directory: str) -> Path:
    return Path(state_directory) / "reports.db"
