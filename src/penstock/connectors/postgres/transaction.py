"""The rows of a commit on their way into the table by COPY, straight or by way of a temporary table.

May be sent again: `rejects.py` tries parts and rolls them back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeAlias

from penstock.connectors.postgres.column_binary import Plain, plain
from penstock.connectors.postgres.column_text import fields
from penstock.connectors.postgres.connection import Connection, quoted
from penstock.connectors.postgres.pieces import Piece
from penstock.connectors.postgres.schema import Column, TableSchema
from penstock.connectors.postgres.target import Target

CHUNK = 2_000
"""Rows that are encoded while the server reads those before them."""
ROW = "_penstock_row"
"""The column of the temporary table with a row's number: of several rows of one key the last counts."""
_NUMBER = Column(ROW, "bigint", "int8")


@dataclass
class Encoded:
    """The rows of a piece as lines of COPY's text, as far as they were made."""

    columns: tuple[Column, ...]
    numbers: Sequence[int]
    lines: list[str] = field(default_factory=list)
    plain: Plain | None = None
    """The same for COPY's binary format, if all values are plain; then lines are made only if the server refuses."""

    def part(self, start: int, stop: int) -> Encoded:
        return Encoded(self.columns, self.numbers[start:stop], self.lines[start:stop])


Made: TypeAlias = tuple[Encoded, Iterator[str]]
"""What the lines of a piece are added to, while the text of each chunk is taken."""


class Encoder:
    """Makes text of pieces, and notes the rows that the table cannot hold."""

    def __init__(self, target: Target, schema: TableSchema) -> None:
        self._target = target
        self._schema = schema
        self._numbered = is_staged(target, schema)
        self.refused: dict[int, str] = {}

    def encode(self, piece: Piece) -> Made:
        """Nothing is made of it yet, but of columns that the table does not have."""
        columns = self._columns(piece)
        encoded = Encoded(tuple(columns), piece.numbers, plain=self._plain(piece, columns))
        return encoded, self._chunks(piece, encoded)

    def _plain(self, piece: Piece, columns: Sequence[Column]) -> Plain | None:
        if self.refused or not columns or any(None in piece.values.get(key, (None,)) for key in self._target.keys):
            return None
        numbered = [(_NUMBER, piece.numbers)] if self._numbered else []
        return plain([*((column, piece.values[column.name]) for column in columns), *numbered])

    def _columns(self, piece: Piece) -> list[Column]:
        found = []
        for name, values in piece.values.items():
            column = self._schema.find(name)
            if column is not None and not column.generated:
                found.append(column)
                continue
            why = f"has no column {name!r}; it has: {self._schema.names}"
            if column is not None:
                why = f"generates column {name!r} itself: leave it out of the rows"
            present = {number for number, value in zip(piece.numbers, values, strict=True) if value is not None}
            self.refused.update(dict.fromkeys(present, f"table {self._target.table} {why}"))
        if not found:
            why = f"the row has none of the columns of table {self._target.table}: {self._schema.names}"
            self.refused.update({number: why for number in piece.numbers if number not in self.refused})
        return found

    def _chunks(self, piece: Piece, encoded: Encoded) -> Iterator[str]:
        for start in range(0, len(piece.numbers), CHUNK) if encoded.columns else ():
            numbers = piece.numbers[start : start + CHUNK]
            texts = [self._texts(column, piece.values[column.name][start : start + CHUNK], numbers)
                     for column in encoded.columns]
            self._refuse_without_key(piece, start, numbers)
            if self._numbered:
                texts.append(list(map(str, numbers)))
            lines = list(map("\t".join, zip(*texts, strict=True))) if len(texts) > 1 else texts[0]
            encoded.lines += lines
            yield "\n".join(lines) + "\n"

    def _texts(self, column: Column, values: list[object], numbers: Sequence[int]) -> list[str]:
        texts, misfits = fields(values, column)
        for place, why in misfits.items():
            self.refused.setdefault(numbers[place], why)
        if not column.nullable and not self._schema.fills and None in values:
            self._refuse_none(values, numbers, f"column {column.name!r} of {self._target.table} must not be NULL")
        return texts

    def _refuse_without_key(self, piece: Piece, start: int, numbers: Sequence[int]) -> None:
        for key in self._target.keys:
            values = piece.values[key][start : start + CHUNK] if key in piece.values else [None] * len(numbers)
            if None in values:
                self._refuse_none(values, numbers, f"column {key!r} is the key and must not be NULL")

    def _refuse_none(self, values: Sequence[object], numbers: Sequence[int], why: str) -> None:
        for number, value in zip(numbers, values, strict=True):
            if value is None:
                self.refused.setdefault(number, why)


def is_staged(target: Target, schema: TableSchema) -> bool:
    """Whether rows go into a temporary table first."""
    return bool(target.keys) or schema.staged


class Transaction:
    """Statements within a transaction that was begun."""

    def __init__(self, target: Target, schema: TableSchema) -> None:
        self._connection: Connection = target.connection
        self._target = target
        self._schema = schema
        self._staged = is_staged(target, schema)

    def put(self, made: Made, encoder: Encoder) -> None:
        """Send rows, and have them inserted. From the first row on that `encoder` refuses, it only makes text."""
        encoded, chunks = made
        into = self._into(encoded.columns)
        if encoded.plain is not None and not encoder.refused:
            self._copy_plain(into, encoded.columns, encoded.plain)
        else:
            with self._copy(into, encoded.columns) as sent:
                for chunk in chunks:
                    if not encoder.refused:
                        sent.write(chunk.encode())
        if not encoder.refused:
            self._insert_from(into, encoded.columns)

    def put_again(self, encoded: Encoded) -> None:
        """Send lines that were made before."""
        into = self._into(encoded.columns)
        with self._copy(into, encoded.columns) as sent:
            sent.write(("\n".join(encoded.lines) + "\n").encode())
        self._insert_from(into, encoded.columns)

    def _into(self, columns: Sequence[Column]) -> str:
        return self._stage(columns) if self._staged else self._target.table.sql

    @contextmanager
    def _copy(self, into: str, columns: Sequence[Column], options: str = "") -> Iterator[Any]:
        names = [column.name for column in columns] + ([ROW] if self._staged else [])
        statement = f"COPY {into} ({', '.join(map(quoted, names))}) FROM STDIN{options}"
        with self._connection.raw.cursor() as cursor, cursor.copy(statement.encode()) as sent:
            yield sent

    def _copy_plain(self, into: str, columns: Sequence[Column], plain_: Plain) -> None:
        with self._copy(into, columns, " (FORMAT BINARY)") as sent:
            sent.set_types(plain_.types)
            write = sent.write_row
            for row in plain_.rows():
                write(row)

    def _insert_from(self, into: str, columns: Sequence[Column]) -> None:
        if self._staged:
            self._connection.execute(self._insert(into, columns))

    def _stage(self, columns: Sequence[Column]) -> str:
        """A temporary table for these columns, empty. Kept for the session, for to make one costs the server more.

        Whoever gets the session next, by a pooler, finds it by the same name if it is of the same columns.
        """
        described = ", ".join(f"{quoted(column.name)} {column.type}" for column in columns)
        told = f"{self._target.table.sql} {described}"
        name = f"pg_temp.{quoted('penstock_' + blake2b(told.encode(), digest_size=16).hexdigest())}"
        self._connection.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {name.removeprefix('pg_temp.')} ({described}, "
            f"{quoted(ROW)} bigint NOT NULL) ON COMMIT DELETE ROWS; DELETE FROM {name}"
        )
        return name

    def _insert(self, stage: str, columns: Sequence[Column]) -> str:
        names = ", ".join(quoted(column.name) for column in columns)
        overriding = " OVERRIDING SYSTEM VALUE" if any(column.identity_always for column in columns) else ""
        start = f"INSERT INTO {self._target.table.sql} ({names}){overriding} SELECT"
        if not self._target.keys:
            return f"{start} {names} FROM {stage} ORDER BY {quoted(ROW)}"
        # By key: of several rows the last counts, and two slots lock the same rows in the same order.
        keys = ", ".join(map(quoted, self._target.keys))
        newest = f"{start} DISTINCT ON ({keys}) {names} FROM {stage} ORDER BY {keys}, {quoted(ROW)} DESC"
        return f"{newest} ON CONFLICT ({keys}) DO {self._on_conflict(columns)}"

    def _on_conflict(self, columns: Sequence[Column]) -> str:
        others = [quoted(column.name) for column in columns if column.name not in self._target.keys]
        if not others:
            return "NOTHING"
        return "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in others)
