"""A table of an SQLite database as a sink, exactly once (rows and position in one transaction), or to look up in.

SQLite comes with Python. Other processes may read the database while a pipeline writes to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from penstock.connectors.sqlite.lookup_table import SqliteLookup
from penstock.connectors.sqlite.table_sink import SqliteSink
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
    """Write rows to `table` of the file `database`. Create both if they do not exist.

    Rows are Structs, dataclasses, named tuples, dicts or columns; anything else becomes one column `value`. Columns are
    matched by name. A new table is `STRICT`, its types are those of the rows' annotations, or else of the first rows
    committed. Whole numbers have 64 bits; True is 1; dates and times are text in ISO 8601; decimals and UUIDs are text;
    lists, dicts and Structs are JSON text. A row with a value that the column refuses is rejected.

    With `key`, a row replaces the row with the same key. `if_exists` says what a fresh run does with a table that
    holds rows. If another process keeps the database locked, or the disk is full, the run waits (`Unavailable`).
    """
    keys = (key,) if isinstance(key, str) else tuple(key or ())
    return SqliteSink(database, table, keys, if_exists)


@overload
def lookup_table(
    database: str | Path, table: str = "", *, query: str = "", cache_keys: int = CACHE_KEYS, max_age: Duration = MAX_AGE
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

    A worker asks for the keys of many rows at once. The column should have an index. What was found is kept for
    `max_age`, of at most `cache_keys` keys, and so is that there was nothing: a row may be as old as that.

    Rows are dicts, or of `type`, made by `msgspec.convert`. The file is only read. If it is locked, the run waits
    (`Unavailable`), up to `unavailable_for`.
    """
    return SqliteLookup(database, table, query, type, cache_keys, max_age)
