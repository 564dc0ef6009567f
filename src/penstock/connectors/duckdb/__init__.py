"""A table of a DuckDB database as a sink, exactly once: rows and the slot's position in one transaction.

While a pipeline runs, its worker has the database file open: DuckDB lets no other process even read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from penstock.connectors.duckdb.lookup_table import DuckdbLookup
from penstock.connectors.duckdb.table_sink import DuckdbSink
from penstock.lookup_table import CACHE_KEYS, MAX_AGE, LookupTable
from penstock.options import Duration
from penstock.sink import Sink

__all__ = ["lookup_table", "table"]

T = TypeVar("T")


def table(
    database: str | Path,
    table: str,
    *,
    key: str | Sequence[str] | None = None,
    if_exists: Literal["error", "append", "overwrite"] = "error",
) -> Sink[Any]:
    """Write rows to `table` (or `schema.table`) of the file `database`. Create both if they do not exist.

    Rows are Structs, dataclasses, named tuples, dicts or columns. Anything else, and lines of text, become one column
    `value`. Columns are matched by name and cast to the table's types. A new table takes its types from the rows'
    annotations, or else from the first rows committed (a column that holds nothing but None becomes VARCHAR).

    A value is stored as it is, or its row is rejected: no fraction is cut off, no key of a dict is dropped, and no
    digit is rounded away (except that a float in a FLOAT column becomes the nearest value). Times are UTC, whatever
    the time zone of the machine: an aware datetime goes into TIMESTAMP in UTC, and TIMESTAMPTZ takes one without a
    zone as UTC; a warning names the first. NaN and the infinities are stored as they are in FLOAT and DOUBLE. Names
    that differ only in case are one column, and a row with values under both is rejected. A MAP column takes dicts
    only if all dicts of the commit have the same keys.

    If another process holds the database, or the disk is full, the run waits (`Unavailable`), up to `unavailable_for`.

    With `key`, a row replaces the row with the same key. `if_exists` says what a fresh run does with a table that
    holds rows. An empty table is written to in any case, so you may create it beforehand with the types you want.
    """
    keys = (key,) if isinstance(key, str) else tuple(key or ())
    return DuckdbSink(database, table, keys, if_exists)


@overload
def lookup_table(
    database: str | Path, table: str = "", *, query: str = "", cache_keys: int = CACHE_KEYS,
    max_age: Duration = MAX_AGE,
) -> LookupTable[dict[str, Any]]: ...


@overload
def lookup_table(
    database: str | Path, table: str = "", *, type: type[T], query: str = "", cache_keys: int = CACHE_KEYS,
    max_age: Duration = MAX_AGE,
) -> LookupTable[T]: ...


def lookup_table(
    database: str | Path, table: str = "", *, type: Any = dict[str, Any], query: str = "",
    cache_keys: int = CACHE_KEYS, max_age: Duration = MAX_AGE,
) -> LookupTable[Any]:
    """Look up rows in a table of the file `database`, or in the rows of `query`: `lookup(..., on="id")`.

    A worker asks for the keys of many rows at once. Each question reads the whole column. What was found is kept for
    `max_age`, of at most `cache_keys` keys, and so is that there was nothing: a row may be as old as that.

    Rows are dicts, or of `type`, made by `msgspec.convert`. The file is open only
    while it is asked, since nobody may write to it meanwhile. While another process writes, the run waits
    (`Unavailable`), up to `unavailable_for`.
    """
    return DuckdbLookup(database, table, query, type, cache_keys, max_age)
