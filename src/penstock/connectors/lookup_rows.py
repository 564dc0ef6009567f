"""How tables of databases are asked for the rows of many keys at once: the text of the question, rows of the answer.

Each key has a number, so that rows come back to the very key that was asked for, whatever the database made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from penstock.connectors.row_fields import field_types
from penstock.errors import PenstockError

NUMBER = "_penstock_number"
KEY = "_penstock_key"


def asked_from(quoted_table: str, query: str) -> str:
    """What stands behind FROM."""
    return f"({query.strip().rstrip(';')}\n)" if query else quoted_table


def question(table: str, quoted_key: str, keys: int) -> str:
    """With a placeholder `?` for each key."""
    numbered = ", ".join(f"({number}, ?)" for number in range(keys))
    return (
        f"WITH asked({NUMBER}, {KEY}) AS (VALUES {numbered}) "
        f"SELECT asked.{NUMBER}, q.* FROM asked JOIN {table} AS q ON q.{quoted_key} = asked.{KEY}"
    )


def answer(found: Iterable[Sequence[Any]], names: Sequence[str], keys: int, kind: Any) -> list[list[Any]]:
    """The rows of each key. `found`: the number of a key and the values of a row, whose columns are `names`."""
    typed = bool(field_types(kind))
    rows: list[list[Any]] = [[] for _ in range(keys)]
    for number, *values in found:
        row = dict(zip(names, values, strict=True))
        rows[number].append(msgspec.convert(row, kind) if typed else row)
    return rows


def column_names(names: Sequence[str], key: str, target: str) -> list[str]:
    """Those of a row. Raises `PenstockError` where they are no fields, or the key is not among them."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PenstockError(f"{target} has several columns {', '.join(map(repr, twice))}; name them apart (AS)")
    if key not in names:
        raise PenstockError(f"{target} has no column {key!r}; it has: {', '.join(names)}")
    return list(names)


def what_problems(table: str, query: str) -> list[str]:
    """What is wrong with what is to be asked, in words."""
    if bool(table) == bool(query):
        return ['it takes a table or query="SELECT ...", and not both; leave one out']
    return []

