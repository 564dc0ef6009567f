"""A table of an SQLite database as a sink, exactly once: rows and the slot's position in one transaction.

SQLite comes with Python. Other processes may read the database while a pipeline writes to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from penstock.connectors.sqlite.table_sink import SqliteSink
from penstock.sink import Sink

__all__ = ["table"]


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
