"""The columns of a table: read from the database, or made up from annotations and values for a new one."""

from __future__ import annotations

import datetime
import re
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.connectors.duckdb.database import quoted, quoted_table
from penstock.connectors.row_fields import bare

_TYPES: Mapping[Any, str] = {
    bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR", bytes: "BLOB", datetime.date: "DATE",
    datetime.time: "TIME", datetime.timedelta: "INTERVAL", uuid.UUID: "UUID",
}
_INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
)
_DECIMAL = re.compile(r"DECIMAL\(\d+,(\d+)\)")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    name: str
    type: str
    """As DuckDB writes it."""
    nullable: bool

    @property
    def whole_numbers(self) -> bool:
        return self.type in _INTEGERS


@dataclass(frozen=True, slots=True)
class TableSchema:
    """What rows have to fit."""

    columns: tuple[Column, ...]
    unique: tuple[tuple[str, ...], ...]
    """The column sets with a PRIMARY KEY or UNIQUE constraint, in small letters."""

    def find(self, name: str) -> Column | None:
        """DuckDB does not tell names apart by case."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)

    @property
    def names(self) -> str:
        return ", ".join(column.name for column in self.columns)


def table_exists(cursor: Any, table: str) -> bool:
    schema, _, name = table.rpartition(".")
    found = cursor.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE NOT internal AND database_name = current_database() "
        "AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?)", [schema or "main", name],
    ).fetchall()
    return bool(found[0][0])


def has_rows(cursor: Any, table: str) -> bool:
    return bool(cursor.execute(f"SELECT 1 FROM {quoted_table(table)} LIMIT 1").fetchall())


def read_schema(cursor: Any, table: str) -> TableSchema | None:
    """None: the table is not there."""
    if not table_exists(cursor, table):
        return None
    described = cursor.execute(f"DESCRIBE {quoted_table(table)}").fetchall()
    schema, _, name = table.rpartition(".")
    constraints = cursor.execute(
        "SELECT constraint_column_names FROM duckdb_constraints() WHERE database_name = current_database() "
        "AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) "
        "AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')", [schema or "main", name],
    ).fetchall()
    return TableSchema(
        tuple(Column(row[0], row[1], row[2] == "YES") for row in described),
        tuple(tuple(column.lower() for column in names) for (names,) in constraints),
    )


def new_schema(annotated: Mapping[str, Any], found: Sequence[tuple[str, str]], keys: Sequence[str]) -> TableSchema:
    """The schema of a table to be made: `found` are (column, DuckDB type of its values), once per kind of row.

    The annotation counts before the values: the first rows of a `float` column may all hold whole numbers.
    """
    types_by_name: dict[str, str] = {}
    for name, value_type in found:
        known = types_by_name.get(name)
        if known is None or "NULL" in known:
            types_by_name[name] = duckdb_type(annotated.get(name, Any)) or value_type
    columns = tuple(Column(name, _settled(text), True) for name, text in types_by_name.items())
    return TableSchema(columns, (tuple(key.lower() for key in keys),) if keys else ())


def create_statement(table: str, schema: TableSchema, keys: Sequence[str]) -> str:
    lines = [f"{quoted(column.name)} {column.type}" for column in schema.columns]
    if keys:
        lines.append(f"PRIMARY KEY ({', '.join(map(quoted, keys))})")
    namespace, _, _ = table.rpartition(".")
    create_namespace = f"CREATE SCHEMA IF NOT EXISTS {quoted(namespace)}; " if namespace else ""
    return f"{create_namespace}CREATE TABLE {quoted_table(table)} ({', '.join(lines)})"


def _settled(text: str) -> str:
    """A type that later rows fit, too: text where no value was seen, decimals with room."""
    text = text.replace('"NULL"', "VARCHAR")
    return _DECIMAL.sub(lambda found: f"DECIMAL(38,{max(9, int(found[1]))})", text)


def duckdb_type(annotation: Any) -> str | None:
    """The type that an annotation stands for; None: the values tell (datetimes may have a zone, dicts have keys)."""
    annotation = bare(annotation)
    if annotation in _TYPES:
        return _TYPES[annotation]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        members = {duckdb_type(member) for member in args if member is not type(None)}
        if members == {"BIGINT", "DOUBLE"}:
            return "DOUBLE"
        return members.pop() if len(members) == 1 else None
    if origin in (list, set, frozenset, Sequence) and args:
        inner = duckdb_type(args[0])
        return f"{inner}[]" if inner else None
    return None
