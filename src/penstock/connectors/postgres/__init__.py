"""Tables of PostgreSQL as sinks, exactly once: rows and the slot's position in one transaction of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from penstock.connectors.postgres.names import table_name
from penstock.connectors.postgres.table_sink import PostgresSink
from penstock.sink import Sink

__all__ = ["table"]


def table(
    dsn: str,
    table: str,
    type: Any = None,
    *,
    key: str | Sequence[str] | None = None,
    if_exists: Literal["error", "append", "overwrite"] = "error",
    schema: str | None = None,
) -> Sink[Any]:
    """Write rows to `table` (or `schema.table`) of the database that `dsn` names. Create it if it does not exist.

    `dsn` is what libpq reads: `"postgresql://user@host/database"`, `"host=... dbname=..."`, `"service=shop"`. Leave the
    password to `~/.pgpass`, `PGPASSWORD` or a service file, so that it is in no program. penstock shows host, port and
    database of it, and nothing else.

    `type` is the rows' type: a Struct, dataclass, TypedDict or NamedTuple. The table is created by it before the run,
    or is compared with it. Without `type`, a table that is not there is created with the first rows, by their
    annotations or values. int becomes bigint, float double precision, str text, bytes bytea, datetime timestamptz
    (timestamp, if the first values have no zone), Decimal numeric, and dicts, lists and nested rows jsonb; a field
    that may be None may be NULL. `schema`: the table's schema; then `table` is a name in which a dot means nothing.

    A value is stored as it is, or its row is rejected: no digit and no zone is lost. A datetime with a zone goes into
    `timestamp` in UTC, and one without a zone into `timestamptz` as UTC. In a json column, a str is text and not a
    document: `msgspec.Raw` is one. Fields that a row lacks are NULL, and columns that no row has take their defaults.

    With `key`, a row replaces the row with the same key, for which the table needs a unique index over exactly these
    columns. `if_exists` says what a fresh run does with a table that holds rows; `"overwrite"` empties it, and leaves
    the table as it is. The stage may have several workers.

    If the server is away, starting, read-only or full, or the table is locked, the run waits (`Unavailable`), up to
    `unavailable_for`. How far each worker came is stored beside the table, in `_penstock_commits`.
    """
    keys = (key,) if isinstance(key, str) else tuple(key or ())
    return PostgresSink(dsn, table_name(table, schema), type, keys, if_exists)
