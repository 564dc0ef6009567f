"""One transaction on a table: its pieces registered with DuckDB, begun, filled, and committed or rolled back.

May be begun several times: `rejects.py` tries parts and rolls them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from penstock.connectors.duckdb.database import quoted, quoted_table
from penstock.connectors.duckdb.imports import duckdb, pyarrow
from penstock.connectors.duckdb.outages import require_no_outage
from penstock.connectors.duckdb.pieces import Piece
from penstock.connectors.duckdb.schema import (
    Column,
    TableSchema,
    create_statement,
    new_schema,
    read_schema,
)
from penstock.connectors.duckdb.statements import WITHOUT_ZONE, Statements, changes_zone, piece_name
from penstock.connectors.row_fields import field_types
from penstock.errors import PenstockError


class Target:
    """The table written to, and its schema once it is known: nobody else can change it while the file is open."""

    def __init__(self, cursor: Any, table: str, keys: tuple[str, ...], path: str) -> None:
        """`path`: of the database's file, for messages."""
        self.cursor = cursor
        self.path = path
        self.table = table
        self.keys = keys
        self.schema = read_schema(cursor, table)
        if self.schema is not None and keys:
            self._make_sure_of_index(self.schema)

    def _make_sure_of_index(self, schema: TableSchema) -> None:
        """An upsert needs a unique index over exactly the key."""
        for key in self.keys:
            if schema.find(key) is None:
                raise PenstockError(f"table {self.table} has no column {key!r} for the key; it has: {schema.names}")
        if any(set(unique) == {key.lower() for key in self.keys} for unique in schema.unique):
            return
        keys = ", ".join(map(quoted, self.keys))
        name = quoted(f"penstock_key_{self.table.rpartition('.')[2]}")
        try:
            self.cursor.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {name} ON {quoted_table(self.table)} ({keys})")
        except duckdb().ConstraintException as exc:
            raise PenstockError(
                f"table {self.table} holds several rows with the same ({keys}); remove duplicates, or omit `key`"
            ) from exc


class Transaction:
    """The rows of one commit on their way into the table. A context manager: leaving it lets go of the pieces."""

    def __init__(self, target: Target, pieces: Sequence[Piece]) -> None:
        self.target = target
        self.cursor = target.cursor
        self.refused: dict[int, str] = {}
        """Rows left out because the table has no place for them, and why."""
        self.zones: dict[str, str] = {}
        """Columns whose times get or lose a zone, and what becomes of the first one."""
        self._registered = 0
        self._create: str | None = None
        self.pieces: list[Piece] = []
        self._begun = False
        self.schema = target.schema or self._new_schema(pieces)
        self._register(self._fitting(pieces))
        self._leave_out_changed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._register(())

    def begin(self) -> None:
        self.cursor.execute("BEGIN TRANSACTION")
        self._begun = True

    def rollback(self) -> None:
        """Nothing happened. Also called after a commit that was refused: that has rolled back already."""
        if self._begun:
            self._begun = False
            self.cursor.execute("ROLLBACK")

    def commit(self) -> None:
        self._begun = False
        self.cursor.execute("COMMIT")
        if self.pieces:
            self.target.schema = self.schema

    def insert(self) -> None:
        """Make the table where it is not there, and put the rows in."""
        if self.pieces and self._create is not None:
            self.cursor.execute(self._create)
        if self.pieces:
            self.cursor.execute(self.statements.insert())

    @property
    def statements(self) -> Statements:
        names = tuple(frozenset(name.lower() for name in piece.names) for piece in self.pieces)
        return Statements(self.target.table, self.schema, self.target.keys, names)

    @property
    def table_is_new(self) -> bool:
        return self._create is not None

    def leave_out(self, rows: Iterable[int]) -> None:
        """Go on without these rows."""
        rows = list(rows)
        self._register([piece.without(rows) for piece in self.pieces])

    def keep_only(self, pieces: Sequence[Piece]) -> None:
        """Go on with other pieces of the same rows."""
        self._register(pieces)

    def _register(self, pieces: Sequence[Piece]) -> None:
        for index in range(self._registered):
            self.cursor.unregister(piece_name(index))
        self.pieces = [piece for piece in pieces if piece.table.num_rows]
        self._registered = len(self.pieces)
        for index, piece in enumerate(self.pieces):
            self.cursor.register(piece_name(index), piece.table)

    def _new_schema(self, pieces: Sequence[Piece]) -> TableSchema:
        self._register(pieces)
        annotated: dict[str, Any] = {}
        found: list[tuple[str, str]] = []
        for index, piece in enumerate(self.pieces):
            annotated.update(field_types(piece.kind) if piece.kind is not None else {})
            described = self.cursor.execute(f"DESCRIBE SELECT * FROM {piece_name(index)}").fetchall()
            names = set(piece.names)
            found.extend((row[0], row[1]) for row in described if row[0] in names)
        schema = new_schema(annotated, found, self.target.keys)
        if not self.pieces:
            return schema
        for key in self.target.keys:
            if schema.find(key) is None:
                raise PenstockError(f"the rows have no column {key!r} for the key; they have: {schema.names}")
        self._create = create_statement(self.target.table, schema, self.target.keys)
        return schema

    def _fitting(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces without the rows that DuckDB would not refuse though they lose something, or lack their key."""
        fitting = []
        for piece in pieces:
            refused = self._refused_of(piece)
            self.refused.update(refused)
            fitting.append(piece.without(refused) if refused else piece)
        return fitting

    def _leave_out_changed(self) -> None:
        """A value is stored as it is, or its row is refused: casts may cut, round, and drop what a struct lacks."""
        changed: dict[int, str] = {}
        statements = self.statements
        for index in range(len(self.pieces)):
            described = self.cursor.execute(f"DESCRIBE SELECT * FROM {piece_name(index)}").fetchall()
            for name, given, *_ in described:
                column = self.schema.find(name)
                if column is not None and changes_zone(given, column.type):
                    self._note_zone(index, name, given, column)
                query = None if column is None else statements.changed_values(index, column, given)
                if column is None or query is None:
                    continue
                says = f"column {column.name!r} of {self.target.table} is {column.type} and would change"
                try:
                    found = self.cursor.execute(query).fetchall()
                except duckdb().Error as exc:  # no cast there or back: nobody can say that the value stays as it is
                    require_no_outage(self.target.path, exc)
                    values = self.pieces[index].table.column(name)
                    first = str(exc).partition("\n")[0]
                    found_rows = dict.fromkeys(self.pieces[index].rows_where(values.is_valid()), f"{says} it ({first})")
                else:
                    found_rows = {row: f"{says} {value!r}" for row, value in found}
                changed.update(found_rows)
        if changed:
            self.refused.update(changed)
            self.leave_out(changed)

    def _note_zone(self, index: int, name: str, given: str, column: Column) -> None:
        """Keep the first value of a column that is stored as the same moment, though written otherwise."""
        values = self.pieces[index].table.column(name).drop_null()
        if len(values) and column.name not in self.zones:
            rule = "is taken for UTC" if given in WITHOUT_ZONE else "is stored in UTC, without its zone"
            self.zones[column.name] = f"{values[0].as_py()} in column {column.name!r} ({column.type}) {rule}"

    def _refused_of(self, piece: Piece) -> dict[int, str]:
        pa = pyarrow()
        refused: dict[int, str] = {}
        for name in piece.names:
            values = piece.table.column(name)
            column = self.schema.find(name)
            if column is None:
                reason = f"table {self.target.table} has no column {name!r}; it has: {self.schema.names}"
                refused.update(dict.fromkeys(piece.rows_where(values.is_valid()), reason))
        for key in self.target.keys:
            reason = f"column {key!r} is the key and must not be NULL"
            same = [name for name in piece.names if name.lower() == key.lower()]
            missing = piece.table.column(same[0]).is_null() if same else pa.array([True] * piece.table.num_rows)
            refused.update(dict.fromkeys(piece.rows_where(missing), reason))
        return refused
