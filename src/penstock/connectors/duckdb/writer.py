"""Writes one table: rows wait in memory until the commit, which is one short transaction with the slot's record.

`transaction.py` inserts, `rejects.py` finds the rows to blame when DuckDB refuses: one bad row aborts a transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.batch import Batch
from penstock.connectors.duckdb.database import RECORDS, Database
from penstock.connectors.duckdb.imports import duckdb
from penstock.connectors.duckdb.outages import told_outages
from penstock.connectors.duckdb.pieces import to_pieces
from penstock.connectors.duckdb.rejects import find_rejects
from penstock.connectors.duckdb.transaction import Target, Transaction
from penstock.sink import RowsRejected, TransactionalWriter


class TableWriter(TransactionalWriter[Any]):
    """One table of one database. What waits is bounded by what the engine writes between two commits."""

    def __init__(
        self, database: Database, table: str, keys: Sequence[str], *, sink: str, log: logging.Logger
    ) -> None:
        """`sink` names the record among those of other pipelines and stages."""
        self._log = log
        self._told_of: set[str] = set()
        self._database = database
        self._cursor = database.cursor()
        self._sink = sink
        with told_outages(database.path):
            self._target = Target(self._cursor, table, tuple(keys), database.path)
        self._waiting: list[Batch[Any]] = []

    def write(self, batch: Batch[Any]) -> None:
        self._waiting.append(list(batch) if isinstance(batch, list) else batch)

    def commit(self, record: bytes) -> None:
        self._database.require_still()
        with told_outages(self._database.path):
            self._commit(record)

    def _commit(self, record: bytes) -> None:
        waiting, self._waiting = self._waiting, []
        found = to_pieces(waiting)
        rejected = dict(found.unfit)
        with Transaction(self._target, found.pieces) as transaction:
            rejected.update(transaction.refused)
            self._tell_of_zones(transaction.zones)
            errors = duckdb()
            try:
                transaction.begin()
                transaction.insert()
                if not rejected:
                    self._store(record)
                    transaction.commit()
                    return
            except (errors.DataError, errors.IntegrityError, errors.ProgrammingError, errors.NotSupportedError):
                transaction.rollback()
                blamed = find_rejects(transaction)
                if not blamed and not rejected:
                    raise
                rejected.update(blamed)
            else:
                transaction.rollback()
        raise RowsRejected(rejected)

    def _tell_of_zones(self, zones: Mapping[str, str]) -> None:
        """Once for each column and life: it is a rule, and yet may not be what was meant."""
        for column, first in zones.items():
            if column not in self._told_of:
                self._told_of.add(column)
                self._log.warning("table %s: the time %s, and so are all such times", self._target.table, first)

    def _store(self, record: bytes) -> None:
        # An update takes a third of the time of an upsert; it is the row's first commit that finds nothing to update.
        [(updated,)] = self._cursor.execute(
            f"UPDATE {RECORDS} SET record = ? WHERE sink = ?", [record, self._record_name]
        ).fetchall()
        if not updated:
            self._cursor.execute(
                f"INSERT INTO {RECORDS} VALUES (?, ?, ?)", [self._record_name, self._target.table, record]
            )

    @property
    def _record_name(self) -> str:
        return f"{self._sink}/{self._target.table}"

    def last_record(self) -> bytes | None:
        with told_outages(self._database.path):
            found = self._cursor.execute(
                f"SELECT record FROM {RECORDS} WHERE sink = ?", [self._record_name]
            ).fetchall()
        return bytes(found[0][0]) if found else None

    def close(self) -> None:
        self._waiting = []
        self._cursor.close()
        self._database.release()
