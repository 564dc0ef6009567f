"""The description of a PostgreSQL table to write: what is checked before a run, what a fresh run makes away with."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from penstock.connectors.postgres import records
from penstock.connectors.postgres.connection import Connection
from penstock.connectors.postgres.dsn import place, unready
from penstock.connectors.postgres.names import TableName, problems, resolved
from penstock.connectors.postgres.new_table import NoType, type_of
from penstock.connectors.postgres.target import Target
from penstock.connectors.postgres.writer import TableWriter
from penstock.connectors.row_fields import field_types
from penstock.errors import OutputExists
from penstock.operator import Context
from penstock.sink import Delivery, Sink, TransactionalWriter
from penstock.source import Position


class PostgresSink(Sink[Any]):
    """What `postgres.table(...)` gives."""

    def __init__(self, dsn: str, table: TableName, kind: Any, keys: Sequence[str], if_exists: str) -> None:
        self._dsn = dsn
        self._table = table
        self._kind = kind
        self._keys = tuple(keys)
        self._if_exists = if_exists
        self._waits = False

    def __repr__(self) -> str:
        return f"<{self.target}>"

    @property
    def label(self) -> str:
        return "postgres-" + re.sub(r"[^a-z0-9_-]", "_", str(self._table).lower())

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    @property
    def recovered_delivery(self) -> Delivery:
        return Delivery.KEYED if self._keys and not self._waits else super().recovered_delivery

    @property
    def waits_for_checkpoint(self) -> bool:
        return self._waits

    def at_checkpoint(self) -> PostgresSink:
        waiting = copy.copy(self)
        waiting._waits = True
        return waiting

    @property
    def target(self) -> str:
        where = place(self._dsn)
        return f"table {self._table} in PostgreSQL" + (f" ({where})" if where else "")

    @property
    def modules(self) -> Sequence[str]:
        return ("psycopg",)

    def check_sink(self) -> Sequence[str]:
        found = problems(self._table)
        if self._if_exists not in ("error", "append", "overwrite"):
            found.append(f'if_exists={self._if_exists!r}; write "error", "append" or "overwrite"')
        found += self._problems_of_type()
        return [*found, *unready(self._dsn)]

    def _problems_of_type(self) -> list[str]:
        if self._kind is None:
            return []
        fields = self._fields
        if not fields:
            return [f"type={self._kind!r} has no annotated fields; pass a Struct, dataclass, TypedDict or NamedTuple"]
        found = [f"type has no field {key!r} for the key; it has: {', '.join(fields)}"
                 for key in self._keys if key not in fields]
        for name, annotation in fields.items():
            try:
                type_of(annotation)
            except NoType as exc:
                found.append(f"field {name!r}: {exc}; annotate it otherwise")
        return found

    @property
    def _fields(self) -> Mapping[str, Any]:
        return field_types(self._kind)

    def refuse(self) -> None:
        with self._looking("looking at") as target:
            if target.look(self._fields) is not None and self._if_exists == "error" and not target.is_empty():
                raise OutputExists(self.target)

    def prepare(self) -> None:
        with self._looking("preparing") as target:
            if target.look(self._fields) is None:
                if self._kind is not None:
                    target.make_for(self._fields)
            elif self._if_exists == "overwrite":
                target.clear()
            records.make_sure(target.connection, target.table.schema)

    @contextmanager
    def _looking(self, doing: str) -> Iterator[Target]:
        connection = Connection(self._dsn, "penstock")
        try:
            with connection.told(f"{doing} table {self._table}"):
                yield Target(connection, resolved(connection, self._table), self._keys)
        finally:
            connection.close()

    def writer(self, position: Position | None, context: Context) -> TransactionalWriter[Any]:
        connection = Connection(self._dsn, f"penstock {context.pipeline}/{context.stage} {context.slot}")
        try:
            return TableWriter(connection, self._table, self._keys, context)
        except BaseException:
            connection.close()  # nobody would: it is held by the error's traceback
            raise
