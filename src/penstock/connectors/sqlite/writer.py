"""Writes one table: rows wait in memory until the commit, which is one transaction with the slot's record."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from penstock.batch import Batch, rows_of
from penstock.connectors.row_fields import field_types, values_by_name
from penstock.connectors.sqlite.database import RECORDS, connect, quoted, told
from penstock.connectors.sqlite.values import stored, type_of
from penstock.errors import PenstockError, TargetDamaged
from penstock.sink import RowsRejected, TransactionalWriter

_BLAMES_ROWS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
_NOT_STORED = (OverflowError, TypeError, ValueError, UnicodeEncodeError)


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """The names of a table's columns; empty: there is no table."""
    return [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]


class TableWriter(TransactionalWriter[Any]):
    """One table of one database. What waits is bounded by what the engine writes between two commits."""

    def __init__(self, path: str, table: str, keys: Sequence[str], *, sink: str) -> None:
        """`sink` names the record among those of other pipelines and stages."""
        self._path = path
        self._table = table
        self._keys = tuple(keys)
        self._record_name = f"{sink}/{table}"
        self._connection = connect(path)
        self._file = os.stat(path)
        with told(path):
            self._columns = columns_of(self._connection, table)
        self._waiting: list[Batch[Any]] = []

    def write(self, batch: Batch[Any]) -> None:
        self._waiting.append(list(batch) if isinstance(batch, list) else batch)

    def commit(self, record: bytes) -> None:
        waiting, self._waiting = self._waiting, []
        self._require_still()
        rejected: dict[int, str] = {}
        rows = self._rows([row for batch in waiting for row in rows_of(batch)], rejected)
        with told(self._path):
            self._commit(rows, record, rejected)

    def _commit(self, rows: Sequence[tuple[int, Mapping[str, Any]]], record: bytes, rejected: dict[int, str]) -> None:
        known, connection = self._columns, self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            if rows and not known:
                self._make(rows)
            self._insert(rows, rejected)
            if not rejected:
                connection.execute(
                    f"INSERT INTO {RECORDS} VALUES (?, ?, ?) ON CONFLICT (sink) DO UPDATE SET record = excluded.record",
                    [self._record_name, self._table, record],
                )
                connection.execute("COMMIT")
                return
        except BaseException:
            self._columns = known
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._columns = known
        connection.execute("ROLLBACK")
        raise RowsRejected(rejected)

    def _rows(self, rows: Sequence[Any], rejected: dict[int, str]) -> list[tuple[int, Mapping[str, Any]]]:
        """Each row by its columns, as SQLite stores them."""
        self._annotated: dict[str, Any] = {}
        found: list[tuple[int, Mapping[str, Any]]] = []
        for number, row in enumerate(rows):
            kind = type(row)
            self._annotated.update(field_types(kind))
            try:
                values = {name: stored(value[0]) for name, value in values_by_name(kind, [row]).items()}
            except _NOT_STORED as exc:
                rejected[number] = f"{type(exc).__name__}: {exc}"
            else:
                found.append((number, values))
        return found

    def _make(self, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        columns = dict.fromkeys(name for _, values in rows for name in values)
        for key in self._keys:
            if key not in columns:
                raise PenstockError(f"the rows have no column {key!r} for the key; they have: {', '.join(columns)}")
        lines = [
            f"{quoted(name)} {type_of(self._annotated.get(name), [values.get(name) for _, values in rows])}"
            for name in columns
        ]
        if self._keys:
            lines.append(f"PRIMARY KEY ({', '.join(map(quoted, self._keys))})")
        self._connection.execute(f"CREATE TABLE {quoted(self._table)} ({', '.join(lines)}) STRICT")
        self._columns = list(columns)

    def _insert(self, rows: Sequence[tuple[int, Mapping[str, Any]]], rejected: dict[int, str]) -> None:
        """Rows of one form that stand together at once; one by one where one of them is refused."""
        fitting = []
        for number, values in rows:
            unknown = [name for name, value in values.items() if name not in self._columns and value is not None]
            if unknown:
                has = ", ".join(self._columns)
                rejected[number] = f"table {self._table} has no column {unknown[0]!r}; it has: {has}"
            else:
                fitting.append((number, values))
        # In their order: of several rows of one key the last counts.
        for names, mine in groupby(fitting, lambda row: tuple(name for name in row[1] if name in self._columns)):
            self._insert_form(names, list(mine), rejected)

    def _insert_form(
        self, names: Sequence[str], rows: Sequence[tuple[int, Mapping[str, Any]]], rejected: dict[int, str]
    ) -> None:
        statement, connection = self._statement(names), self._connection
        connection.execute("SAVEPOINT form")
        try:
            connection.executemany(statement, [[values[name] for name in names] for _, values in rows])
        except (*_BLAMES_ROWS, *_NOT_STORED):
            connection.execute("ROLLBACK TO form")
            for number, values in rows:
                try:
                    connection.execute(statement, [values[name] for name in names])
                except (*_BLAMES_ROWS, *_NOT_STORED) as exc:
                    rejected[number] = str(exc)
        connection.execute("RELEASE form")

    def _statement(self, names: Sequence[str]) -> str:
        columns = ", ".join(map(quoted, names))
        text = f"INSERT INTO {quoted(self._table)} ({columns}) VALUES ({', '.join('?' * len(names))})"
        if not self._keys:
            return text
        others = [f"{quoted(name)} = excluded.{quoted(name)}" for name in names if name not in self._keys]
        keys = ", ".join(map(quoted, self._keys))
        return f"{text} ON CONFLICT ({keys}) DO {'UPDATE SET ' + ', '.join(others) if others else 'NOTHING'}"

    def _require_still(self) -> None:
        """Raise where another file, or none, stands in its place: what is committed now would be seen by nobody."""
        try:
            there = os.path.samestat(os.stat(self._path), self._file)
        except FileNotFoundError:
            there = False
        if not there:
            raise TargetDamaged(self._path, "it was removed, renamed or replaced while rows were being written to it")

    def last_record(self) -> bytes | None:
        with told(self._path):
            found = self._connection.execute(f"SELECT record FROM {RECORDS} WHERE sink = ?", [self._record_name])
            row = found.fetchone()
        return bytes(row[0]) if row is not None else None

    def close(self) -> None:
        self._waiting = []
        self._connection.close()
