"""Writes one table: rows wait in memory until the commit, which is one short transaction with the slot's record.

`transaction.py` sends them, `rejects.py` finds the rows to blame when the server refuses.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from penstock.batch import Batch
from penstock.connectors.postgres.connection import Connection
from penstock.connectors.postgres.imports import psycopg
from penstock.connectors.postgres.names import TableName, resolved
from penstock.connectors.postgres.outages import AGAIN, blames_rows, said
from penstock.connectors.postgres.pieces import Piece, to_pieces
from penstock.connectors.postgres.records import SlotRecord
from penstock.connectors.postgres.rejects import find_rejects
from penstock.connectors.postgres.target import Target
from penstock.connectors.postgres.transaction import Encoder, Made, Transaction
from penstock.operator import Context, Unavailable
from penstock.sink import RowsRejected, TransactionalWriter

_TRIES = 8
"""Of a transaction that met another one in a deadlock, before the worker waits longer."""


class TableWriter(TransactionalWriter[Any]):
    """One table, in one slot. What waits is bounded by what the engine writes between two commits."""

    def __init__(self, connection: Connection, table: TableName, keys: Sequence[str], context: Context) -> None:
        self._log: logging.Logger = context.log
        self._rng: random.Random = context.rng
        self._connection = connection
        with connection.told(f"opening table {table}"):
            self._target = Target(connection, resolved(connection, table), keys)
            schema = self._target.look({})
            self._slot = SlotRecord(connection, self._target.table, context)
            self._record = self._slot.take_over()
        if schema is not None and schema.unlogged:
            self._log.warning("table %s is UNLOGGED: if the server crashes, it is emptied", self._target.table)
        self._waiting: list[Batch[Any]] = []

    def write(self, batch: Batch[Any]) -> None:
        self._waiting.append(list(batch) if isinstance(batch, list) else batch)

    def commit(self, record: bytes) -> None:
        waiting, self._waiting = self._waiting, []
        pieces, unfit = to_pieces(waiting)
        with self._connection.told(f"writing to table {self._target.table}"):
            if unfit:
                raise RowsRejected(unfit)
            self._commit_until_alone(pieces, record)

    def _commit_until_alone(self, pieces: Sequence[Piece], record: bytes) -> None:
        """Deadlocks and serialization failures are nobody's fault: the same is tried again."""
        why = ""
        for number in range(_TRIES):
            try:
                return self._commit(pieces, record)
            except psycopg().Error as exc:
                if exc.sqlstate not in AGAIN:
                    raise
                self._connection.rollback()
                why = said(exc)
            time.sleep(self._rng.uniform(0, 0.01 * 2**number))
        raise Unavailable(f"table {self._target.table}: other transactions got in the way {_TRIES} times ({why})")

    def _commit(self, pieces: Sequence[Piece], record: bytes) -> None:
        schema = self._target.schema
        if schema is None and pieces:
            schema = self._target.make_of(pieces)
        if schema is None:
            return self._commit_alone(record)
        encoder, transaction = Encoder(self._target, schema), Transaction(self._target, schema)
        made = [encoder.encode(piece) for piece in pieces]
        self._connection.begin()
        try:
            for each in made:
                if each[0].columns:
                    transaction.put(each, encoder)
            if not encoder.refused:
                self._slot.store(record)
                return self._connection.commit()
        except psycopg().Error as exc:
            self._connection.rollback()
            if not blames_rows(exc):
                raise
            self._blame(made, encoder, transaction)
            if not encoder.refused:
                raise
        except BaseException:
            self._connection.rollback()
            raise
        else:
            self._connection.rollback()
        raise RowsRejected(encoder.refused)

    def _blame(self, made: Sequence[Made], encoder: Encoder, transaction: Transaction) -> None:
        """Have `encoder` refuse what the server does, unless it refuses rows itself: those come first."""
        for _, chunks in made:
            deque(chunks, maxlen=0)  # what the server has not waited for
        if not encoder.refused:
            encoder.refused.update(find_rejects(self._connection, transaction, [encoded for encoded, _ in made]))

    def _commit_alone(self, record: bytes) -> None:
        with self._connection.transaction():
            self._slot.store(record)

    def last_record(self) -> bytes | None:
        return self._record

    def close(self) -> None:
        self._waiting = []
        self._connection.close()
