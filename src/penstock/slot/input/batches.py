"""Batches of any shape inside a worker, taken alike: lists of rows, blocks of lines, columns, rows not decoded.

A block knows its own length, cut and rows (`batch.Lines`, `channel/{column_batch,packed_rows}.py`); here lists are
given the same. And what a leaf of the operator tree gave.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from penstock import columns
from penstock.batch import Lines
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.packed_rows import PackedRows


class Out:
    """What one leaf of the tree gave: rows, and before them blocks of another shape."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.blocks: list[Any] = []

    def add(self, batch: Any) -> None:
        """Append a batch of any shape, in order."""
        if isinstance(batch, list):
            self.rows.extend(batch)
            return
        if self.rows:
            self.blocks.append(self.rows[:])
            self.rows.clear()
        elif self.blocks and isinstance(batch, PackedRows) and not batch.stands_alone:
            last = self.blocks[-1]
            joined = last.join([batch]) if isinstance(last, PackedRows) and not last.stands_alone else None
            if joined is not None:
                self.blocks[-1] = joined
                return
        self.blocks.append(batch)

    def batches(self) -> list[Any]:
        """All of it, in order."""
        return [*self.blocks, self.rows] if self.rows else list(self.blocks)

    def is_due(self, rows: int) -> bool:
        """True: there are blocks that are encoded by themselves, or as many rows as this."""
        if not self.blocks:
            return len(self.rows) >= rows
        return self.length >= rows or any(not isinstance(b, PackedRows) or b.stands_alone for b in self.blocks)

    @property
    def length(self) -> int:
        """Rows in it."""
        return len(self.rows) + sum(batch_length(block) for block in self.blocks)


def batch_length(batch: Any) -> int:
    """Rows of a batch."""
    return len(batch) if isinstance(batch, list) else int(batch.count)


def batch_slice(batch: Any, start: int, stop: int) -> Any:
    """Rows `start` to `stop` of a batch."""
    if start == 0 and stop >= batch_length(batch):
        return batch
    return batch[start:stop] if isinstance(batch, list) else batch.slice(start, stop)


def batch_without(batch: Any, left_out: Collection[int]) -> Any:
    """The rows of a batch but for some, by their index."""
    kept = [index for index in range(batch_length(batch)) if index not in left_out]
    return [batch[index] for index in kept] if isinstance(batch, list) else batch.pick(kept)


def batch_join(batches: Sequence[Any]) -> Any | None:
    """Batches of one shape as a single one; None where they are of several."""
    first = batches[0]
    if any(type(batch) is not type(first) for batch in batches):
        return None
    return [row for batch in batches for row in batch] if isinstance(first, list) else first.join(batches[1:])


def batch_cut(batch: Any, rows: int) -> list[Any]:
    """A batch in parts of `rows` rows (of `Lines`: about this many)."""
    if isinstance(batch, list):
        return [batch[start : start + rows] for start in range(0, len(batch), rows)]
    return list(batch.parts(rows))


def as_row_list(batch: Any) -> list[Any]:
    """Rows of a batch, as objects. Raises what Arrow or a row's class raises for columns."""
    rows: list[Any] = batch if isinstance(batch, list) else batch.rows()
    return rows


def require_rows(named: Iterable[Any], length: int, by: str) -> None:
    """Raises `ValueError` if a connector names rows that are not there: nobody knows which ones it means.

    `by`: what names them.
    """
    for index in named:
        if not (hasattr(index, "__index__") and 0 <= index < length):
            raise ValueError(f"{by} names row {index!r} of {length}; rows count from 0")


def row_at(batch: Any, index: int) -> Any:
    """One row of a batch; where it cannot be made, its values as they can be shown."""
    return batch[index] if isinstance(batch, list) else batch.row(index)


def as_given(batch: Any) -> Any:
    """A batch as sinks are given it: columns as they are, without what the engine knows of them; rows whole."""
    if isinstance(batch, PackedRows):
        return batch.rows()
    return batch.columns if isinstance(batch, ColumnBatch) else batch


def normalized(batch: Any, row_type: Any = Any) -> Any:
    """A source's batch as the engine carries it: a list, `Lines`, or columns, whose rows are of `row_type`."""
    if isinstance(batch, (list, Lines, ColumnBatch)):
        return batch
    if hasattr(batch, "__arrow_c_stream__"):
        return ColumnBatch(columns.as_table(batch), row_type)
    return list(batch)
