"""The records of slots, beside the tables that they write: stored in the transactions that store rows.

A slot has one row, which names the worker that may replace it. So no commit of an earlier worker can come after its
successor has read the record: the earlier one's transaction either held the row, and was waited for, or finds that it
is no longer the one. A commit that is still on its way when its worker is killed is not known otherwise.
"""

from __future__ import annotations

import uuid
from typing import Any

from penstock.connectors.postgres.connection import Connection
from penstock.connectors.postgres.names import TableName
from penstock.connectors.postgres.target import lock_names, make_schema
from penstock.errors import PenstockError
from penstock.operator import Context

NAME = "_penstock_commits"
KEPT = "30 days"
"""How long the record of a run that writes no more is kept: as long as it may be resumed exactly."""
_CREATE = """
CREATE TABLE {table} (
    run text, pipeline text, stage text, slot integer, target text,
    worker text NOT NULL, record bytea NOT NULL, committed timestamp with time zone NOT NULL,
    PRIMARY KEY (run, pipeline, stage, slot, target)
) WITH (fillfactor = 50)
"""
_TAKE = """
INSERT INTO {table} AS r (run, pipeline, stage, slot, target, worker, record, committed)
VALUES (%s, %s, %s, %s, %s, %s, '', pg_catalog.now())
ON CONFLICT (run, pipeline, stage, slot, target) DO UPDATE SET worker = excluded.worker RETURNING r.record
"""
_STORE = """
UPDATE {table} SET record = %s, committed = pg_catalog.now()
WHERE run = %s AND pipeline = %s AND stage = %s AND slot = %s AND target = %s AND worker = %s
"""
_FORGET = f"""
DELETE FROM {{table}} WHERE pipeline = %s AND run <> %s AND committed < pg_catalog.now() - interval '{KEPT}'
"""


def make_sure(connection: Connection, schema: str) -> TableName:
    """The table of records in a schema, made unless it is there."""
    table = TableName(schema, NAME)
    if not _is_there(connection, table):
        with connection.told(f"making table {table}, where penstock notes how far it came,"), connection.transaction():
            lock_names(connection, table)
            if not _is_there(connection, table):
                make_schema(connection, schema)
                connection.execute(_CREATE.format(table=table.sql))
    return table


def _is_there(connection: Connection, table: TableName) -> bool:
    return bool(connection.rows("SELECT 1 WHERE pg_catalog.to_regclass(%s) IS NOT NULL", [table.sql]))


class SlotRecord:
    """The record of one slot and table, taken over by this worker."""

    def __init__(self, connection: Connection, target: TableName, context: Context) -> None:
        self._connection = connection
        self._target = target
        self._table = make_sure(connection, target.schema)
        self._key = (context.run_id, context.pipeline, context.stage, context.slot, str(target))
        self._worker = uuid.uuid4().hex

    def take_over(self) -> bytes | None:
        """The record of the last commit; from now on no earlier worker commits."""
        values = [*self._key, self._worker]
        with self._connection.transaction():
            [(record,)] = self._connection.rows(_TAKE.format(table=self._table.sql), values)
            if self._may_forget():
                self._connection.execute(_FORGET.format(table=self._table.sql), [self._key[1], self._key[0]])
        return bytes(record) or None

    def _may_forget(self) -> bool:
        [(may,)] = self._connection.rows(
            "SELECT pg_catalog.has_table_privilege(pg_catalog.to_regclass(%s), 'DELETE')", [self._table.sql]
        )
        return bool(may)

    def store(self, record: bytes) -> None:
        """Within the transaction of the rows. Raises `PenstockError` where another worker has taken over."""
        values: list[Any] = [record, *self._key, self._worker]
        if self._connection.execute(_STORE.format(table=self._table.sql), values).rowcount != 1:
            raise PenstockError(
                f"another worker has taken over what this one writes to {self._target}: its run was resumed elsewhere, "
                f"or its row in {self._table.sql} was deleted; stop the other, then run again"
            )
