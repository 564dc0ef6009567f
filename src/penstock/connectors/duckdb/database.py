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

from penstock.errors import ExtraMissing, PenstockError, TargetDamaged

RECORDS = '"_penstock_commits"'
_CREATE_RECORDS = (
    f"CREATE TABLE IF NOT EXISTS {RECORDS} (sink VARCHAR PRIMARY KEY, target VARCHAR NOT NULL, record BLOB NOT NULL)"
)


def duckdb() -> Any:
    """The duckdb module. Raises `ExtraMissing`."""
    try:
        import duckdb as module
    except ImportError as exc:
        raise ExtraMissing("duckdb", "duckdb") from exc
    return module


def pyarrow() -> Any:
    """The pyarrow module. Raises `ExtraMissing`."""
    try:
        import pyarrow as module
    except ImportError as exc:
        raise ExtraMissing("pyarrow", "duckdb") from exc
    return module


class Database:
    """An open database file and the number of those who use it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.users = 0
        if not os.path.exists(path):
            _make(path)
        self._connection = _connect(path)
        self._connection.execute(_CREATE_RECORDS)
        self._file = os.stat(path)

    def cursor(self) -> Any:
        return self._connection.cursor()

    def require_still(self) -> None:
        """Raise where another file, or none, stands in its place: what is committed now would be seen by nobody."""
        try:
            there = os.path.samestat(os.stat(self.path), self._file)
        except FileNotFoundError:
            there = False
        if not there:
            raise TargetDamaged(self.path, "it was removed, renamed or replaced while rows were written to it")

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
        with contextlib.suppress(FileExistsError):  # somebody else has made one meanwhile: it is gone on with
            os.link(new, path)  # a rename would replace it


def _connect(path: str) -> Any:
    module = duckdb()
    try:
        # One thread: rows come a few thousand at a time, and the worker shares the machine with the other stages.
        connection = module.connect(path, config={"threads": 1})
    except module.ConnectionException as exc:
        raise PenstockError(f"{path} is open in this very process; close that connection and run again") from exc
    except module.IOException as exc:
        if "lock" not in str(exc):
            raise
        raise PenstockError(
            f"another process has {path} open ({exc}); DuckDB lets one process at a time use a file: "
            "close it there and run again"
        ) from exc
    # Whatever zone the machine is in: what has a zone goes into TIMESTAMP in UTC, and what has none is UTC.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(table: str) -> str:
    """`table` or `schema.table` as SQL text."""
    return ".".join(quoted(part) for part in table.split("."))
