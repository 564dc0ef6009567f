"""SQLite: tables and queries of a database file that rows are looked up in. Python brings what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, overload

from penstock.connectors.sqlite.lookup_table import SqliteLookup
from penstock.lookup_table import CACHE_KEYS, MAX_AGE, LookupTable
from penstock.options import Duration

__all__ = ["lookup_table"]

T = TypeVar("T")


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
