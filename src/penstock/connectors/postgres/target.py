"""The table on the server that a writer fills: made where it is not there, looked at where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.connectors.postgres.connection import Connection, quoted
from penstock.connectors.postgres.fit import misfits
from penstock.connectors.postgres.names import TableName
from penstock.connectors.postgres.new_table import NoType, create_statement, type_of, type_of_column
from penstock.connectors.postgres.pieces import Piece
from penstock.connectors.postgres.schema import TableSchema, has_rows, read_schema
from penstock.connectors.row_fields import field_types
from penstock.errors import PenstockError


class Target:
    """One table, and its schema once it is known."""

    def __init__(self, connection: Connection, table: TableName, keys: Sequence[str]) -> None:
        """`table`: with its schema."""
        self.connection = connection
        self.table = table
        self.keys = tuple(keys)
        self.schema: TableSchema | None = None

    def look(self, annotated: Mapping[str, Any]) -> TableSchema | None:
        """The schema as it is now; None: there is no table. Raises `PenstockError` where rows cannot go in."""
        self.schema = read_schema(self.connection, self.table)
        if self.schema is not None:
            problems = list(misfits(self.table, self.schema, annotated, self.keys))
            if problems:
                raise PenstockError(
                    f"table {self.table} of {self.connection.place} does not fit what is written to it: "
                    f"{'; '.join(problems)}; alter the table or the rows' type, or name another table"
                )
        return self.schema

    def make_for(self, annotated: Mapping[str, Any]) -> None:
        """Make the table for rows of a type, unless it is there."""
        try:
            self._make({name: type_of(annotation) for name, annotation in annotated.items()})
        except NoType as exc:
            raise self._not_made(exc) from exc
        self.look(annotated)

    def make_of(self, pieces: Sequence[Piece]) -> TableSchema:
        """Make the table for the first rows; another slot may have been quicker."""
        columns: dict[str, tuple[str, bool]] = {}
        try:
            for piece in pieces:
                annotated = field_types(piece.kind)
                for name, values in piece.values.items():
                    if columns.get(name, ("text", True)) == ("text", True):  # not known, or of nothing but None
                        columns[name] = type_of_column(annotated.get(name), values)
            self._make(columns)
        except NoType as exc:
            raise self._not_made(exc) from exc
        schema = self.look({})
        assert schema is not None
        return schema

    def _not_made(self, why: NoType) -> PenstockError:
        return PenstockError(
            f"table {self.table} of {self.connection.place} is not there, and cannot be made for these rows ({why}); "
            "make it yourself, or annotate the field otherwise"
        )

    def _make(self, columns: Mapping[str, tuple[str, bool]]) -> None:
        for key in self.keys:
            if key not in columns:
                raise PenstockError(f"the rows have no column {key!r} for the key; they have: {', '.join(columns)}")
        statement = create_statement(self.table, columns, self.keys)
        with self.connection.told(f"making table {self.table}"), self.connection.transaction():
            lock_names(self.connection, self.table)
            if read_schema(self.connection, self.table) is None:
                make_schema(self.connection, self.table.schema)
                self.connection.execute(statement)

    def is_empty(self) -> bool:
        return not has_rows(self.connection, self.table)

    def clear(self) -> None:
        """Away with its rows; the table stays, with what is granted on it and what refers to it."""
        errors = _truncate_errors()
        with self.connection.transaction():
            self.connection.execute("SAVEPOINT before")
            try:
                self.connection.execute(f"TRUNCATE {self.table.sql}")
            except errors:  # rows of other tables refer to it, it is a view, or we may delete and not truncate
                self.connection.execute("ROLLBACK TO SAVEPOINT before")
                self.connection.execute(f"DELETE FROM {self.table.sql}")


def _truncate_errors() -> tuple[type[Exception], ...]:
    from penstock.connectors.postgres.imports import psycopg

    errors = psycopg().errors
    return (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.WrongObjectType)


def lock_names(connection: Connection, table: TableName) -> None:
    """Held to the end of the transaction: two that make one table at a time would disturb each other."""
    connection.execute(
        "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(%s, 0))", [f"penstock makes {table.sql}"]
    )


def make_schema(connection: Connection, schema: str) -> None:
    """Unless it is there: to try would take a privilege."""
    if not connection.rows("SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", [schema]):
        connection.execute(f"CREATE SCHEMA {quoted(schema)}")
