"""Batches of any shape inside a worker: length, slices, rows; and what a leaf of the operator tree gave."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.batch import Lines
from penstock.channel import columns


@dataclass(slots=True)
class Out:
    """What one leaf of the tree gave: rows, and before them blocks of another shape."""

    rows: list[Any] = field(default_factory=list)
    blocks: list[Any] = field(default_factory=list)

    def add(self, batch: Any) -> None:
        """Append a batch of any shape, in order."""
        if isinstance(batch, list):
            self.rows.extend(batch)
            return
        if self.rows:
            self.blocks.append(self.rows[:])
            self.rows.clear()
        self.blocks.append(batch)

    def batches(self) -> list[Any]:
        """All of it, in order."""
        return [*self.blocks, self.rows] if self.rows else list(self.blocks)

    @property
    def length(self) -> int:
        """Rows in it."""
        return len(self.rows) + sum(batch_length(block) for block in self.blocks)


def batch_length(batch: Any) -> int:
    """Rows of a batch of any shape."""
    if isinstance(batch, list):
        return len(batch)
    if isinstance(batch, Lines):
        return batch.count
    return int(batch.num_rows) if hasattr(batch, "num_rows") else len(batch)


def batch_slice(batch: Any, start: int, stop: int) -> Any:
    """Rows `start` to `stop` of a batch of any shape."""
    if isinstance(batch, list):
        return batch if start == 0 and stop >= len(batch) else batch[start:stop]
    if start == 0 and stop >= batch_length(batch):
        return batch
    if isinstance(batch, Lines):
        return batch.slice(start, stop)
    return columns.as_table(batch).slice(start, stop - start)


def batch_without(batch: Any, left_out: Collection[int]) -> Any:
    """The rows of a batch of any shape but for some, by their index."""
    kept = [index for index in range(batch_length(batch)) if index not in left_out]
    if isinstance(batch, (list, Lines)):
        rows = as_row_list(batch)
        return [rows[index] for index in kept]
    return columns.as_table(batch).take(kept)


def batch_join(batches: Sequence[Any]) -> Any | None:
    """Batches of one shape as a single one; None where they are of several."""
    if all(isinstance(batch, list) for batch in batches):
        return [row for batch in batches for row in batch]
    if all(type(batch) is Lines for batch in batches):
        # A block may lack the end of its last line.
        data = b"".join(b.data if b.data.endswith(b"\n") else b.data + b"\n" for b in batches)
        return Lines(data, 0, sum(batch.count for batch in batches))
    if any(isinstance(batch, (list, Lines)) for batch in batches):
        return None
    tables = [columns.as_table(batch) for batch in batches]
    return columns.joined(tables) if all(table.schema == tables[0].schema for table in tables) else None


def batch_cut(batch: Any, rows: int) -> list[Any]:
    """A batch of any shape in parts of `rows` rows (of `Lines`: about so many)."""
    if isinstance(batch, Lines):
        return batch.parts(rows)
    return [batch_slice(batch, start, start + rows) for start in range(0, batch_length(batch), rows)]


def as_row_list(batch: Any, row_type: Any = Any) -> list[Any]:
    """Rows of a batch of any shape, as objects."""
    if isinstance(batch, Lines):
        return batch.split()
    if isinstance(batch, list):
        return batch
    if hasattr(batch, "__arrow_c_stream__"):
        return columns.table_to_rows(columns.as_table(batch), row_type)
    return list(batch)


def row_at(batch: Any, index: int, row_type: Any = Any) -> Any:
    """One row of a batch of any shape; where it cannot be made, its values as they can be shown."""
    if isinstance(batch, list):
        return batch[index]
    piece = batch_slice(batch, index, index + 1)
    if isinstance(piece, Lines) or not hasattr(piece, "__arrow_c_stream__"):
        return as_row_list(piece)[0]
    rows, failures = columns.rows_or_failures(columns.as_table(piece), row_type)
    return failures[0][0] if failures else rows[0]


def normalized(batch: Any) -> Any:
    """A source's batch as the engine carries it: a list, `Lines`, or an Arrow table."""
    if isinstance(batch, (list, Lines)):
        return batch
    if hasattr(batch, "__arrow_c_stream__"):
        return columns.as_table(batch)
    return list(batch)
