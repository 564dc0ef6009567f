"""Writes parts for one slot of a sink that waits for checkpoints: what is committed at a time, by folder and size.

The engine commits what a durable checkpoint covers, at most some tens of MB at once, so all of it waits in memory.
JSON lines, CSV and Parquet differ in their `PartForm`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.batch import Batch, WrittenLines, rows_and_rejected
from penstock.connectors.files.arrow_tables import ArrowTables
from penstock.connectors.files.epoch_parts import EpochParts, Note, hidden
from penstock.connectors.files.part_writer import RowEncoder
from penstock.connectors.folder_sync import make_folder
from penstock.ctrl_c import is_ctrl_c
from penstock.sink import RowsRejected, TransactionalWriter, WrittenText


class PartForm(ABC):
    """How the rows of a part are written."""

    @abstractmethod
    def encode(self, batch: Batch[Any], *, at_start: bool) -> tuple[Any, int, Mapping[int, str]]:
        """(rows as they are written, or None; their bytes; by index, why others are not). `at_start`: of a part."""

    @abstractmethod
    def write(self, path: str, pieces: Sequence[Any]) -> None:
        """Make the file of what `encode` gave; it is on the disk afterwards."""

    @property
    def fields(self) -> tuple[str, ...]:
        """What the next life must know of the columns."""
        return ()

    def resume(self, fields: tuple[str, ...]) -> None:
        """Go on with what `fields` gave."""


class TextForm(PartForm):
    """Lines of text."""

    def __init__(self, encoder: RowEncoder) -> None:
        self._encoder = encoder

    def encode(self, batch: Batch[Any], *, at_start: bool) -> tuple[Any, int, Mapping[int, str]]:
        if isinstance(batch, WrittenLines):
            return batch.data, len(batch.data), {}
        text: WrittenText = self._encoder.encode(batch, at_start=at_start)
        return text.data or None, len(text.data), text.rejected

    def write(self, path: str, pieces: Sequence[Any]) -> None:
        with open(path, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self._encoder.state().get("fields", ()))

    def resume(self, fields: tuple[str, ...]) -> None:
        if fields:
            self._encoder.restore({"fields": fields})


class ParquetForm(PartForm):
    """Columns. Those of a part are what all its rows have."""

    def __init__(self, schema: Any | None) -> None:
        self._tables = ArrowTables(schema)

    def encode(self, batch: Batch[Any], *, at_start: bool) -> tuple[Any, int, Mapping[int, str]]:
        table, rejected = self._tables.of(batch)
        return (table, table.nbytes, rejected) if table is not None and table.num_rows else (None, 0, rejected)

    def write(self, path: str, pieces: Sequence[Any]) -> None:
        import pyarrow
        import pyarrow.parquet as parquet

        schema = pyarrow.unify_schemas([piece.schema for piece in pieces])
        parquet.write_table(pyarrow.concat_tables([piece.cast(schema) for piece in pieces]), path)
        with open(path, "rb") as written:
            os.fsync(written.fileno())


class _Part:
    """A file in the making."""

    def __init__(self, partition: str) -> None:
        self.partition = partition
        self.pieces: list[Any] = []
        self.bytes = 0


class EpochWriter(TransactionalWriter[Any]):
    """The parts of one slot."""

    def __init__(
        self, parts: EpochParts, form: PartForm, folder_of: Callable[[Any], str] | None, roll_bytes: int | None
    ) -> None:
        """`folder_of`: the folder of a row; None: all are in one. `roll_bytes`: a part with so much is followed by
        another one."""
        self._parts = parts
        self._form = form
        self._folder_of = folder_of
        self._roll_bytes = roll_bytes
        self._waiting: list[Batch[Any]] = []
        make_folder(parts.folder)
        self._last = parts.last()
        highest = parts.clean()
        self._number = max(highest + 1, 0 if self._last is None else self._last.next_number)
        if self._last is not None:
            form.resume(self._last.fields)

    def write(self, batch: Batch[Any]) -> None:
        self._waiting.append(list(batch) if isinstance(batch, list) else batch)

    def commit(self, record: bytes) -> None:
        waiting, self._waiting = self._waiting, []
        self._parts.require_still()
        made, rejected = self._made(waiting)
        if rejected:
            raise RowsRejected(rejected)
        names = []
        for part in made:
            names.append(self._parts.name(part.partition, self._number))
            self._number += 1
            path = self._parts.path(hidden(names[-1]))
            make_folder(os.path.dirname(path))
            self._form.write(path, part.pieces)
        # Hidden names on the disk before the note that speaks of them.
        self._parts.sync(names)
        self._parts.commit(Note(record, self._number, tuple(names), self._form.fields))

    def _made(self, batches: Sequence[Batch[Any]]) -> tuple[list[_Part], dict[int, str]]:
        made: list[_Part] = []
        current: dict[str, _Part] = {}
        rejected: dict[int, str] = {}
        first = 0
        for batch in batches:
            for partition, numbers, rows in self._divided(batch, first, rejected):
                part = current.get(partition)
                if part is None or (self._roll_bytes is not None and part.bytes >= self._roll_bytes):
                    part = current[partition] = _Part(partition)
                    made.append(part)
                piece, size, refused = self._form.encode(rows, at_start=not part.pieces)
                rejected.update({numbers[index]: why for index, why in refused.items()})
                if piece is not None:
                    part.pieces.append(piece)
                    part.bytes += size
            first += _length(batch)
        return [part for part in made if part.pieces], rejected

    def _divided(
        self, batch: Batch[Any], first: int, rejected: dict[int, str]
    ) -> list[tuple[str, Sequence[int], Batch[Any]]]:
        """(folder, the numbers of the rows, the rows): as they come, or by their folders."""
        if self._folder_of is None:
            return [("", range(first, first + _length(batch)), batch)]
        found: dict[str, tuple[list[int], list[Any]]] = {}
        rows, unmade = rows_and_rejected(batch)
        rejected.update({first + index: why for index, why in unmade.items()})
        for index, row in enumerate(rows):
            if index in unmade:
                continue
            try:
                folder = self._folder_of(row)
            except BaseException as exc:  # a property of the user's class may raise anything
                if is_ctrl_c(exc):
                    raise
                rejected[first + index] = f"{type(exc).__name__}: {exc}"
                continue
            numbers, mine = found.setdefault(folder, ([], []))
            numbers.append(first + index)
            mine.append(row)
        return [(folder, numbers, mine) for folder, (numbers, mine) in found.items()]

    def finish(self) -> None:
        self._parts.require_still()

    def last_record(self) -> bytes | None:
        return None if self._last is None else self._last.record

    def close(self) -> None:
        self._waiting = []


def _length(batch: Any) -> int:
    """Rows of a batch."""
    if hasattr(batch, "count") and not isinstance(batch, Sequence):
        return int(batch.count)
    return int(batch.num_rows) if hasattr(batch, "num_rows") else len(batch)
