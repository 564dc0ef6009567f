"""Compares the tables of `windows`, in DuckDB and in PostgreSQL, with what `plain` makes of the same files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from analytics.plain import Feeds, Row, Tables, plain
from analytics.windows import SCHEMA

TABLES = ("sessions", "sensor_hours", "bars", "error_rates")
_MOST = 5
"""Differences told of a table."""


@dataclass
class Agreement:
    """What was found in one database."""

    place: str
    rows: dict[str, int] = field(default_factory=dict)
    late: Counter[str] = field(default_factory=Counter)
    """Events that no window counts, by the table that lacks them."""
    differences: list[str] = field(default_factory=list)
    """Empty: the tables are those of plain Python."""


def agreement(place: str, tables: Tables, feeds: Feeds) -> Agreement:
    """Each event counts in its window, or is in `late`, once; and every figure is what plain Python computes."""
    found = Agreement(place, {name: len(tables[name]) for name in TABLES})
    late = {str(id): str(of) for of, id, _ in tables["late"]}
    found.late = Counter(late.values())
    if len(late) < len(tables["late"]):
        found.differences.append(f"late: {len(tables['late'])} rows, but only {len(late)} events")
    known = feeds.ids()
    found.differences += [f"late: {id} is no event of {of}" for id, of in late.items() if id not in known[of]]
    expected = plain(feeds, late)
    for name in TABLES:
        found.differences += _differences(name, tables[name], expected[name])
    return found


def _differences(name: str, found: list[Row], expected: list[Row]) -> list[str]:
    pairs = zip_longest(sorted(found), sorted(expected))
    unequal = [(one, other) for one, other in pairs if one is None or other is None or not _equal(one, other)]
    told = [f"{name}: {one} is not {other}" for one, other in unequal[:_MOST]]
    return told if len(unequal) <= _MOST else [*told, f"{name}: and {len(unequal) - _MOST} more"]


def _equal(one: Row, other: Row) -> bool:
    """Sums of fractions depend on the order of the rows, in the last digits."""
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) and isinstance(b, (float, int)) else a == b
        for a, b in zip(one, other, strict=True)
    )


def read_duckdb(database: Path) -> Tables:
    """All tables; times as seconds since 1970."""
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        tables: dict[str, list[Row]] = {
            name: connection.execute(f"SELECT * {_SECONDS} FROM {name}").fetchall() for name in TABLES if name in there
        }
        late = connection.execute("FROM late").fetchall() if "late" in there else []
    return _complete({**tables, "late": late})


_SECONDS = 'REPLACE (epoch("start") AS "start", epoch("end") AS "end")'


def read_postgres(dsn: str) -> Tables:
    """All tables; times as seconds since 1970."""
    import psycopg

    with psycopg.connect(dsn) as connection:
        tables = {
            name: [_in_seconds(row) for row in connection.execute(f"SELECT * FROM {SCHEMA}.{name}".encode())]
            for name in (*TABLES, "late")
        }
    return _complete(tables)


def _in_seconds(row: tuple[object, ...]) -> Row:
    from datetime import datetime

    return tuple(value.timestamp() if isinstance(value, datetime) else value for value in row)  # type: ignore[misc]


def _complete(tables: Mapping[str, list[Row]]) -> Tables:
    """A table that no row was written to may be missing."""
    return {name: tables.get(name, []) for name in (*TABLES, "late")}
