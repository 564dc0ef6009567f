"""What was written since the last commit as a sink's writer wants it: runs of rows, and batches of columns between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock.batch import Batch, Lines


def split_by_form(
    batches: Sequence[Batch[Any]], add_rows: Callable[[list[Any], int], None], add_columns: Callable[[Any, int], int]
) -> None:
    """Call `add_rows(rows, first)` for what stands between columns, and `add_columns(columns, first)` for these.

    `first` is the number of the first row, of all since the last commit; `add_columns` gives how many rows there were.
    A run of rows may be empty.
    """
    rows: list[Any] = []
    first = 0
    for batch in batches:
        if isinstance(batch, Lines):
            rows.extend(batch.split())
        elif isinstance(batch, Sequence):
            rows.extend(batch)
        else:
            add_rows(rows, first)
            first += len(rows)
            rows = []
            first += add_columns(batch, first)
    add_rows(rows, first)
