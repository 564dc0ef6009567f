"""Names of tables: as the user gives them, and as SQL has them. Pure but for the look at the server."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.connectors.postgres.connection import Connection, quoted
from penstock.errors import PenstockError

NAME_BYTES = 63
"""The server cuts longer names off."""


@dataclass(frozen=True, slots=True)
class TableName:
    """`visits`, or `shop.visits`."""

    schema: str
    """Empty: the first in the search path that has the table, or else the first at all."""
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @property
    def sql(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}" if self.schema else quoted(self.name)

    def beside(self, name: str) -> TableName:
        """Another table of the same schema."""
        return TableName(self.schema, name)


def table_name(table: str, schema: str | None) -> TableName:
    """`schema` takes `table` as it is; without it, a dot stands between the two."""
    if schema is not None:
        return TableName(schema, table)
    before, _, name = table.rpartition(".")
    return TableName(before, name)


def problems(table: TableName) -> list[str]:
    """What is wrong with it, in words."""
    if not table.name or "." in table.schema:
        return [f'{str(table)!r} is not a table; write "visits" or "schema.visits"']
    long = [name for name in (table.schema, table.name) if len(name.encode("utf-8", "replace")) > NAME_BYTES]
    return [f"the name {name!r} has more than {NAME_BYTES} bytes; use a shorter one" for name in long]


def resolved(connection: Connection, table: TableName) -> TableName:
    """With its schema, whatever the search path is later."""
    if table.schema:
        return table
    [(schema,)] = connection.rows(
        "SELECT coalesce((SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
        "ON n.oid = c.relnamespace WHERE c.oid = pg_catalog.to_regclass(%s)), pg_catalog.current_schema()::text)",
        [table.sql],
    )
    if schema is None:
        raise PenstockError(
            f"{connection.place} has no schema for table {table.name} in the search path; create one, or name it "
            f'("schema.{table.name}")'
        )
    return TableName(schema, table.name)
