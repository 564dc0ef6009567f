"""A table of a DuckDB database as a sink, exactly once: rows and the slot's position in one transaction.

While a pipeline runs, its worker has the database file open: DuckDB lets no other process even read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from penstock.connectors.duckdb.table_sink import DuckdbSink
from penstock.sink import Sink

__all__ = ["table"]


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
