"""The columns of a table as the server describes them, and what stands in the way of writing to it."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.connectors.postgres.connection import Connection
from penstock.connectors.postgres.names import TableName

INTEGERS = {"int2": 16, "int4": 32, "int8": 64}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    name: str
    type: str
    """As the server writes it: `numeric(10,2)`."""
    base: str
    """The type beneath domains, by its short name: `int8`; of an array, that of its elements."""
    nullable: bool = True
    array: bool = False
    modifier: int = -1
    """What `numeric(10,2)` has beyond `numeric`, as the server encodes it."""
    generated: bool = False
    identity_always: bool = False
    has_default: bool = False

    @property
    def length(self) -> int | None:
        """The most characters of `varchar(n)` and `char(n)`."""
        return self.modifier - 4 if self.base in ("varchar", "bpchar") and self.modifier >= 4 else None

    @property
    def scale(self) -> int | None:
        """The digits behind the point of `numeric(p,s)`, which the server rounds to."""
        if self.base != "numeric" or self.modifier < 4:
            return None
        scale = (self.modifier - 4) & 0x7FF
        return scale - 0x800 if scale & 0x400 else scale

    @property
    def second_digits(self) -> int:
        """The digits of a second that a time keeps."""
        timed = self.base in ("timestamp", "timestamptz", "time", "timetz", "interval")
        if not timed or self.modifier < 0:
            return 6
        digits = self.modifier & 0xFFFF if self.base == "interval" else self.modifier
        return min(digits, 6)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """What rows have to fit."""

    columns: tuple[Column, ...]
    unique: tuple[tuple[str, ...], ...]
    """The sets of columns that an upsert can be made by."""
    staged: bool = False
    """True: the server lets nobody COPY into it (a view, row-level security)."""
    unlogged: bool = False
    fills: bool = False
    """True: a trigger may put a value where a row has none."""
    may_not: tuple[str, ...] = ()
    """Privileges that the user lacks: INSERT, UPDATE, SELECT."""

    def find(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def names(self) -> str:
        return ", ".join(column.name for column in self.columns)


_TABLE = """
SELECT c.oid::text, c.relkind::text = 'v' OR pg_catalog.row_security_active(c.oid), c.relpersistence::text = 'u',
       EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgtype & 4 <> 0
               AND g.tgtype & 66 <> 0),
       pg_catalog.has_any_column_privilege(c.oid, 'INSERT'), pg_catalog.has_any_column_privilege(c.oid, 'UPDATE'),
       pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'f')
"""
_COLUMNS = """
WITH RECURSIVE typed AS (
    SELECT a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS not_null
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = %(table)s::oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT typed.attnum, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE typed.modifier END,
           typed.not_null OR t.typnotnull
    FROM typed JOIN pg_catalog.pg_type t ON t.oid = typed.type WHERE t.typtype = 'd'
)
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
       coalesce(element.typname, t.typname)::text, NOT typed.not_null, element.oid IS NOT NULL, typed.modifier,
       a.attgenerated::text <> '', a.attidentity::text = 'a', a.atthasdef OR a.attidentity::text <> ''
FROM typed JOIN pg_catalog.pg_type t ON t.oid = typed.type AND t.typtype <> 'd'
JOIN pg_catalog.pg_attribute a ON a.attrelid = %(table)s::oid AND a.attnum = typed.attnum
LEFT JOIN pg_catalog.pg_type element ON element.oid = t.typelem AND t.typcategory = 'A'
ORDER BY a.attnum
"""
_UNIQUE = """
SELECT (SELECT pg_catalog.array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0 : i.indnkeyatts - 1]))
FROM pg_catalog.pg_index i
WHERE i.indrelid = %s::oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
  AND i.indexprs IS NULL
"""


def read_schema(connection: Connection, table: TableName) -> TableSchema | None:
    """None: the table is not there."""
    found = connection.rows(_TABLE, [table.schema, table.name])
    if not found:
        return None
    oid, staged, unlogged, fills, *may = found[0]
    columns = connection.execute(_COLUMNS, {"table": oid}).fetchall()
    unique = connection.rows(_UNIQUE, [oid])
    return TableSchema(
        tuple(Column(*row) for row in columns),
        tuple(tuple(sorted(names)) for (names,) in unique),
        staged, unlogged, fills, tuple(right for right, has in zip(("INSERT", "UPDATE", "SELECT"), may) if not has),
    )


def has_rows(connection: Connection, table: TableName) -> bool:
    return bool(connection.rows(f"SELECT 1 FROM {table.sql} LIMIT 1"))
