"""The SQL of one transaction: pieces cast to the table's types, put together, reduced per key, inserted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.connectors.duckdb.database import quoted, quoted_table
from penstock.connectors.duckdb.pieces import ROW
from penstock.connectors.duckdb.schema import Column, TableSchema


def piece_name(index: int) -> str:
    """The name under which a piece is registered."""
    return f"_penstock_piece_{index}"


def is_nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(("STRUCT(", "MAP(", "UNION("))


WITHOUT_ZONE = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"})
WITH_ZONE = frozenset({"TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ"})


def changes_zone(given: str, kind: str) -> bool:
    """True: times of type `given` get a zone, or lose theirs, in a column of type `kind`."""
    return (given in WITHOUT_ZONE and kind in WITH_ZONE) or (given in WITH_ZONE and kind in WITHOUT_ZONE)


def _read_as(column: Column) -> str | None:
    """The type by which text is compared with what a column makes of it; None: it takes no less than all of it."""
    if column.whole_numbers or column.type.startswith("DECIMAL"):
        return "DOUBLE"
    return "TIMESTAMP" if column.type in ("DATE", "TIME") else None


@dataclass(frozen=True, slots=True)
class Statements:
    """For one table, one set of keys, and pieces with these columns (in small letters)."""

    table: str
    schema: TableSchema
    keys: tuple[str, ...]
    pieces: tuple[frozenset[str], ...]

    @property
    def columns(self) -> list[Column]:
        """The table's columns that any piece has; the others take their defaults."""
        names = frozenset[str]().union(*self.pieces) | {key.lower() for key in self.keys}
        return [column for column in self.schema.columns if column.name.lower() in names]

    def insert(self) -> str:
        columns = self.columns
        names = ", ".join(quoted(column.name) for column in columns)
        statement = f"INSERT INTO {quoted_table(self.table)} ({names}) SELECT {names} FROM ({self.source(columns)})"
        if not self.keys:
            return statement if len(self.pieces) == 1 else f"{statement} ORDER BY {quoted(ROW)}"
        # Reduced over the whole transaction: two rows of one key in one statement would keep the first.
        keys = ", ".join(map(quoted, self.keys))
        newest = f"row_number() OVER (PARTITION BY {keys} ORDER BY {quoted(ROW)} DESC) = 1"
        return f"{statement} QUALIFY {newest} ON CONFLICT ({keys}) DO {self._on_conflict(columns)}"

    def _on_conflict(self, columns: Sequence[Column]) -> str:
        keys = {key.lower() for key in self.keys}
        others = [quoted(column.name) for column in columns if column.name.lower() not in keys]
        if not others:
            return "NOTHING"
        return "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in others)

    def source(self, columns: Sequence[Column], cast: str = "CAST") -> str:
        """All pieces as one relation with the table's types."""
        return " UNION ALL ".join(self._select(index, columns, cast) for index in range(len(self.pieces)))

    def _select(self, index: int, columns: Sequence[Column], cast: str) -> str:
        has = self.pieces[index]
        fields = [
            f"{cast}({quoted(column.name) if column.name.lower() in has else 'NULL'} AS {column.type}) "
            f"AS {quoted(column.name)}"
            for column in columns
        ]
        return f"SELECT {', '.join([*fields, quoted(ROW)])} FROM {piece_name(index)}"

    def unfit_values(self, index: int, column: Column) -> str:
        """(row, value) where a piece has a value that the column cannot take."""
        name = quoted(column.name)
        return (
            f"SELECT {quoted(ROW)}, left(CAST({name} AS VARCHAR), 100) FROM {piece_name(index)} "
            f"WHERE {name} IS NOT NULL AND TRY_CAST({name} AS {column.type}) IS NULL"
        )

    def changed_values(self, index: int, column: Column, given: str) -> str | None:
        """(row, value) where the column would hold another value than the piece, whose values are of type `given`.

        None: there is no such value. What is cast there and back must be what it was; text is read, and must say no
        more than what was read of it. DOUBLE into FLOAT is the nearest, as it always is.
        """
        name, kind = quoted(column.name), column.type
        cast = f"TRY_CAST({name} AS {kind})"
        if given == kind or given == '"NULL"' or (given == "DOUBLE" and kind == "FLOAT"):
            return None
        if given == "VARCHAR":
            read = _read_as(column)
            if read is None:
                return None
            changed = f"TRY_CAST({cast} AS {read}) IS DISTINCT FROM TRY_CAST({name} AS {read})"
        elif is_nested(given) and not is_nested(kind) and kind != "JSON":
            changed = "true"
        elif given.startswith("STRUCT(") and kind.startswith("MAP("):
            # There is no cast back. A dict that lacks a key of its neighbours would get it, without a value.
            text = f"map_values(TRY_CAST({name} AS MAP(VARCHAR, VARCHAR)))"
            empty = f"len(list_filter({text}, lambda each: each IS NULL)) > 0"
            changed = f"{empty} OR CAST(map_values({cast}) AS VARCHAR) IS DISTINCT FROM CAST({text} AS VARCHAR)"
        elif kind == "BOOLEAN":
            changed = f"{name} <> 0 AND {name} <> 1"
        else:
            changed = f"TRY_CAST({cast} AS {given}) IS DISTINCT FROM {name}"
        return (
            f"SELECT {quoted(ROW)}, left(CAST({name} AS VARCHAR), 100) FROM {piece_name(index)} "
            f"WHERE {name} IS NOT NULL AND ({changed})"
        )

    def missing_values(self, column: Column) -> str:
        """Rows without a value in a column that must have one."""
        return f"SELECT {quoted(ROW)} FROM ({self.source([column], 'TRY_CAST')}) WHERE {quoted(column.name)} IS NULL"

    def repeated(self, unique: Sequence[Column]) -> str:
        """Rows whose values in these columns are in the table already, or in an earlier row."""
        names = ", ".join(quoted(column.name) for column in unique)
        same = " AND ".join(f"t.{quoted(column.name)} = s.{quoted(column.name)}" for column in unique)
        whole = " AND ".join(f"s.{quoted(column.name)} IS NOT NULL" for column in unique)
        return (
            f"SELECT {quoted(ROW)} FROM (SELECT *, row_number() OVER (PARTITION BY {names} ORDER BY {quoted(ROW)}) AS "
            f"_penstock_nth FROM ({self.source(unique)})) s WHERE {whole} AND (_penstock_nth > 1 OR EXISTS "
            f"(SELECT 1 FROM {quoted_table(self.table)} t WHERE {same}))"
        )
