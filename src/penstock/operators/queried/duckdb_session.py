"""DuckDB as `sql` uses it: in memory, in one thread, apart from files and from the variables of the program."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from penstock.errors import ExtraMissing
from penstock.signatures.row_classes import fields_of, plain_class
from penstock.windows.row_reading import without_none

_TYPES: Final = {
    bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR", bytes: "BLOB", datetime.date: "DATE",
    datetime.time: "TIME",
}
"""Of annotations for which there is one type; of others, the values tell."""


_GIVEN: Final = {
    **{kind: annotation for annotation, kind in _TYPES.items()}, "FLOAT": float, "TINYINT": int, "SMALLINT": int,
    "INTEGER": int, "UTINYINT": int, "USMALLINT": int, "UINTEGER": int, "UBIGINT": int, "HUGEINT": Decimal,
    "DECIMAL": Decimal, "TIMESTAMP": datetime.datetime, "TIMESTAMP WITH TIME ZONE": datetime.datetime,
}
"""What values of a column are in Python. A sum of whole numbers is a HUGEINT, which comes as a Decimal."""


def session() -> Any:
    """A connection. Raises `ExtraMissing`."""
    try:
        import duckdb
    except ImportError as error:
        raise ExtraMissing("duckdb", "duckdb") from error
    connection = duckdb.connect(config={"threads": 1, "enable_external_access": False})
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def columns_of(row_type: Any) -> Mapping[str, str] | None:
    """The columns that rows of a type become, with their SQL types (empty: the values tell); None: not known."""
    fields = fields_of(row_type)
    if fields is not None:
        return {name: _sql_type(annotation) for name, annotation in fields.items()}
    if plain_class(row_type) in _TYPES:
        return {"value": _sql_type(row_type)}
    return None


def _sql_type(annotation: Any) -> str:
    kind = plain_class(without_none(annotation))
    return _TYPES.get(kind, "") if isinstance(kind, type) else ""


def given_type(sql_type: str) -> Any:
    """What values of a column of the result are in Python; `Any` where its type does not say."""
    return _GIVEN.get(sql_type.partition("(")[0], Any)


def cast_to(annotation: Any) -> str:
    """The SQL type that gives values of an annotation; empty: there is not one."""
    return _sql_type(annotation)


def select_columns(columns: Mapping[str, str], table: str) -> str:
    """What makes a table with these columns, and their types whatever one batch has, of another one."""
    typed = ", ".join(_typed(quoted(name), kind, quoted(name)) for name, kind in columns.items())
    return f"SELECT {typed} FROM {table}"


def select_nothing(columns: Mapping[str, str]) -> str:
    """The same without rows: what a query is checked with."""
    return f"SELECT {', '.join(_typed('NULL', kind, quoted(name)) for name, kind in columns.items())} WHERE false"


def _typed(value: str, kind: str, name: str) -> str:
    return f"CAST({value} AS {kind}) AS {name}" if kind else f"{value} AS {name}"


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'
