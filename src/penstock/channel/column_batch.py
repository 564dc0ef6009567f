"""Columns as a batch: what the engine asks of every batch, and what a row of them is.

`batch.Lines` is the other kind of block, and a list of rows is none; `slot/input/batches.py` takes all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock import columns


class ColumnBatch:
    """Columns of any library, and the annotation of a row: of the edge, source or function that they came from.

    Rows are made by it wherever they are needed, so that columns of several types may come to one stage.
    """

    __slots__ = ("columns", "row_type")

    def __init__(self, given: Any, row_type: Any = Any) -> None:
        self.columns = given
        """As the source or the function gave them, which is also how functions and sinks are given them."""
        self.row_type = row_type

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.columns.num_rows) if hasattr(self.columns, "num_rows") else len(self.columns)

    def table(self) -> Any:
        """A `pyarrow.Table` of them."""
        return columns.as_table(self.columns)

    def slice(self, start: int, stop: int) -> ColumnBatch:
        """Rows `start` to `stop`."""
        return ColumnBatch(self.table().slice(start, stop - start), self.row_type)

    def parts(self, rows: int) -> list[ColumnBatch]:
        """The same rows in batches of `rows` rows."""
        count = self.count
        return [self.slice(start, start + rows) for start in range(0, count, rows)] if count > rows else [self]

    def pick(self, indices: Sequence[int]) -> ColumnBatch:
        """Some of the rows."""
        return ColumnBatch(self.table().take(indices), self.row_type)

    def where(self, condition: Any) -> ColumnBatch:
        """The rows for which a column of bools is true."""
        return ColumnBatch(self.table().filter(condition), self.row_type)

    def join(self, others: Sequence[ColumnBatch]) -> ColumnBatch | None:
        """These rows and then those of others; None where their columns or their rows are of other types."""
        if any(other.row_type != self.row_type for other in others):
            return None
        tables = [self.table(), *(other.table() for other in others)]
        if any(not table.schema.equals(tables[0].schema) for table in tables):
            return None
        return ColumnBatch(columns.joined(tables), self.row_type)

    def rows(self) -> list[Any]:
        """The rows as objects. Raises what Arrow or the row's class raises for one that cannot be made."""
        return columns.table_to_rows(self.table(), self.row_type)

    def rows_or_failures(self) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
        """The rows, with None for each that cannot be made: what to show of it, and why, by its index."""
        return columns.rows_or_failures(self.table(), self.row_type)

    def row(self, index: int) -> Any:
        """One row; where it cannot be made, its values as they can be shown."""
        return self.row_or_failure(index)[0]

    def row_or_failure(self, index: int) -> tuple[Any, str]:
        """As `row`, and why it cannot be made; empty: it is the row."""
        rows, failures = self.slice(index, index + 1).rows_or_failures()
        return failures[0] if failures else (rows[0], "")
