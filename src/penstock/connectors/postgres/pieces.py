"""The rows of a commit by their columns: one piece per kind of row. Pure but for pyarrow, where columns come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.batch import Batch, rows_and_rejected
from penstock.columns import as_table
from penstock.connectors.row_fields import Values, values_by_name
from penstock.connectors.runs_of_rows import split_by_form


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a transaction, by their columns."""

    kind: type | None
    """The class of its rows; None: they came as columns."""
    values: Values
    numbers: Sequence[int]
    """Which rows they are, of all since the last commit."""


def to_pieces(batches: Sequence[Batch[Any]]) -> tuple[list[Piece], dict[int, str]]:
    """(everything written since the last commit, rows without Python values and why)."""
    pieces: list[Piece] = []
    unfit: dict[int, str] = {}
    split_by_form(
        batches,
        lambda rows, first: _add_rows(rows, range(first, first + len(rows)), pieces),
        lambda columns, first: _add_columns(columns, first, pieces, unfit),
    )
    return pieces, unfit


def _add_rows(rows: list[Any], numbers: Sequence[int], pieces: list[Piece]) -> None:
    kinds = dict.fromkeys(map(type, rows))
    for kind in kinds:
        if len(kinds) == 1:
            pieces.append(Piece(kind, values_by_name(kind, rows), numbers))
            return
        mine = [(number, row) for number, row in zip(numbers, rows, strict=True) if type(row) is kind]
        pieces.append(Piece(kind, values_by_name(kind, [row for _, row in mine]), [number for number, _ in mine]))


def _add_columns(columns: Any, first: int, pieces: list[Piece], unfit: dict[int, str]) -> int:
    table = as_table(columns)
    count = int(table.num_rows)
    try:
        values = {name: table.column(name).to_pylist(maps_as_pydicts="strict") for name in table.column_names}
    except (ValueError, TypeError, KeyError, OverflowError):  # a value without a Python type: found row by row
        rows, rejected = rows_and_rejected(table)
        unfit.update({first + place: reason for place, reason in rejected.items()})
        good = [(first + place, row) for place, row in enumerate(rows) if place not in rejected]
        if good:
            numbers = [number for number, _ in good]
            pieces.append(Piece(None, values_by_name(dict, [row for _, row in good]), numbers))
    else:
        if count:
            pieces.append(Piece(None, values, range(first, first + count)))
    return count
