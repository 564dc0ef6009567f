"""PostgreSQL: tables as sinks, exactly once (rows and position in one transaction), and queries as sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar, overload

from penstock.connectors.postgres.lookup_table import PostgresLookup
from penstock.connectors.postgres.names import table_name
from penstock.connectors.postgres.query import PostgresQuery
from penstock.connectors.postgres.table_sink import PostgresSink
from penstock.lookup_table import CACHE_KEYS, MAX_AGE, LookupTable
from penstock.options import Duration
from penstock.sink import Sink
from penstock.source import Source

__all__ = ["lookup_table", "query", "table"]

T = TypeVar("T")


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


def query(dsn: str, sql: str, type: Any = dict[str, Any], *, key: str) -> Source[Any]:
    """Read the rows of `sql`, in the order of the column `key`, from the database that `dsn` names (see `table`).

    `key` is a column of the result that is unique and never NULL; it should have an index, for rows are read in pages:
    those behind the last key. Nothing is held open between two pages. So a restarted worker resumes behind the last
    row that was committed, and the rows must still be there: what is behind that key when a page is read is read.
    The last key is looked up when a run starts afresh; rows with greater keys, which are added later, are not read.
    Rows whose key is NULL are not read either. `sql` stands in a subquery: one SELECT, without parameters.

    Rows are dicts, or of `type`, made by `msgspec.convert`. A row that does not fit it, or with a value that Python
    has no type for, becomes a dead letter. One worker reads a query; read parts of a table by several queries.
    If the server is away, the run waits (`Unavailable`), up to `unavailable_for`.
    """
    return PostgresQuery(dsn, sql, type, key)


@overload
def lookup_table(
    dsn: str, table: str = "", *, query: str = "", cache_keys: int = CACHE_KEYS,
    max_age: Duration = MAX_AGE,
) -> LookupTable[dict[str, Any]]: ...


@overload
def lookup_table(
    dsn: str, table: str = "", *, type: type[T], query: str = "", cache_keys: int = CACHE_KEYS,
    max_age: Duration = MAX_AGE,
) -> LookupTable[T]: ...


def lookup_table(
    dsn: str, table: str = "", *, type: Any = dict[str, Any], query: str = "",
    cache_keys: int = CACHE_KEYS, max_age: Duration = MAX_AGE,
) -> LookupTable[Any]:
    """Look up rows in a table of the database that `dsn` names (see `table`), or in the rows of `query`.

    A worker asks for the keys of many rows at once. The column that `on` names should have an index. What was found is
    kept for `max_age`, of at most `cache_keys` keys, and so is that there was nothing: a row may be as old as that.

    Rows are dicts, or of `type`, made by `msgspec.convert`. If the server is away,
    the run waits (`Unavailable`), up to `unavailable_for`. A dot in `table` stands behind its schema.
    """
    return PostgresLookup(dsn, table_name(table, None), query, type, cache_keys, max_age)
