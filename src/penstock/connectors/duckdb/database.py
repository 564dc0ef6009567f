"""One database file, opened once per process: the tables' writers share it, each with a cursor of its own.

A cursor is a connection with its own transaction. Writers of one slot commit one after the other.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from typing import Any

from penstock.connectors.duckdb.imports import duckdb
from penstock.connectors.duckdb.outages import hopeless, require_no_outage, told_outages
from penstock.connectors.folder_sync import sync_folder_of
from penstock.errors import PenstockError, TargetDamaged

RECORDS = '"_penstock_commits"'
_CREATE_RECORDS = (
    f"CREATE TABLE IF NOT EXISTS {RECORDS} (sink VARCHAR PRIMARY KEY, target VARCHAR NOT NULL, record BLOB NOT NULL)"
)


class Database:
    """An open database file and the number of those who use it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.users = 0
        if not os.path.exists(path):
            _make(path)
        self._connection = _connect(path)
        try:
            with told_outages(path):
                self._connection.execute(_CREATE_RECORDS)
            self._file = os.stat(path)
        except BaseException:
            self._connection.close()  # nobody would: it is held by this process, and by the error's traceback
            raise

    def cursor(self) -> Any:
        return self._connection.cursor()

    def require_still(self) -> None:
        """Raise where another file, or none, stands in its place: what is committed now would be seen by nobody."""
        try:
            there = os.path.samestat(os.stat(self.path), self._file)
        except FileNotFoundError:
            there = False
        if not there:
            raise TargetDamaged(self.path, "it was removed, renamed or replaced while rows were being written to it")

    def release(self) -> None:
        """Called once by each that `open_database` gave this to; the last one closes the file."""
        self.users -= 1
        if not self.users:
            del _open[self.path]
            self._connection.close()


_open: dict[str, Database] = {}


def open_database(path: str) -> Database:
    """The database at `path`, opened unless this process has it open already."""
    path = os.path.realpath(path)
    database = _open.get(path)
    if database is None:
        database = _open[path] = Database(path)
    database.users += 1
    return database


def _make(path: str) -> None:
    """Make an empty database beside its place, and put it there whole.

    DuckDB makes the file first and its head later: killed in between, it leaves a file that nobody can open. It is made
    in a folder of our own, whose name nobody else's file can have; those of killed lives are removed.
    """
    folder, name = os.path.split(path)
    prefix = f".{name}.penstock-"
    for stale in glob.glob(os.path.join(glob.escape(folder), glob.escape(prefix) + "*.new")):
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=".new", dir=folder) as work:
        new = os.path.join(work, "new.duckdb")
        _connect(new).close()
        with contextlib.suppress(FileExistsError):  # somebody else has made one meanwhile: use that one
            os.link(new, path)  # a rename would replace it
        sync_folder_of(path)


def _connect(path: str) -> Any:
    module = duckdb()
    found: PenstockError | None
    try:
        # One thread: rows come a few thousand at a time, and the worker shares the machine with the other stages.
        connection = module.connect(path, config={"threads": 1})
    except module.ConnectionException as exc:
        raise PenstockError(f"{path} is open in this very process; close that connection and run again") from exc
    except module.Error as exc:
        require_no_outage(path, exc)
        found = hopeless(path, exc)
        if found is None:
            raise
    else:
        return _in_utc(connection)
    raise found  # outside of the handler: DuckDB's class, of which some may pass, is no cause of it


def _in_utc(connection: Any) -> Any:
    # Whatever zone the machine is in: what has a zone goes into TIMESTAMP in UTC, and what has none is UTC.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(table: str) -> str:
    """`table` or `schema.table` as SQL text."""
    return ".".join(quoted(part) for part in table.split("."))
