"""Connections to a database file, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.errors import TargetDamaged
from penstock.operator import Unavailable

RECORDS = '"_penstock_commits"'
_CREATE_RECORDS = (
    f"CREATE TABLE IF NOT EXISTS {RECORDS} (sink TEXT PRIMARY KEY, target TEXT NOT NULL, record BLOB NOT NULL)"
)
_LOCKED_S = 5.0
"""So long another process's transaction is waited for here; then the worker waits."""
_LATER = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR,
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def connect(path: str) -> sqlite3.Connection:
    """A connection without transactions of its own. Raises `Unavailable`, `TargetDamaged`."""
    with told(path):
        connection = sqlite3.connect(path, timeout=_LOCKED_S, isolation_level=None)
        # What it said was committed must outlive a crash of the machine: checkpoints count on it.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(_CREATE_RECORDS)
    return connection


@contextmanager
def told(path: str) -> Iterator[None]:
    """Errors within that time may heal are `Unavailable`; one that says the file is no database is `TargetDamaged`."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code in _LATER:
            raise Unavailable(f"{path} cannot be written now ({exc})") from exc
        if code in _DAMAGED:
            what = f"it is not a database that SQLite {sqlite3.sqlite_version} can read ({exc})"
            raise TargetDamaged(path, what) from exc
        raise


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'
