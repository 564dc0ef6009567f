"""Rows of Arrow columns as Python objects; where some have no Python value, the others are found all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.ctrl_c import is_ctrl_c


def convertible(
    table: Any, convert: Callable[[Any], list[Any]]
) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
    """(rows of a table as `convert` makes them, with None for those it raises for; what to show of these, and why)."""
    rows: list[Any] = []
    failures: dict[int, tuple[Any, str]] = {}
    todo = [(0, table.num_rows)]
    while todo:
        start, stop = todo.pop()
        piece = table.slice(start, stop - start)
        try:
            rows += convert(piece)
        except BaseException as exc:  # Arrow's errors, those of Python's types, and what a class raises for its fields
            if is_ctrl_c(exc):
                raise
            if stop - start > 1:
                middle = (start + stop) // 2
                todo += [(middle, stop), (start, middle)]  # in order: the last is taken first
                continue
            shown, column = shown_row(piece)
            failures[start] = (shown, f"{column}{type(exc).__name__}: {exc}")
            rows.append(None)
    return rows, failures


def shown_row(piece: Any) -> tuple[dict[str, Any], str]:
    """(a row, each value in whatever form it has, and the first column without a Python value: `column 'x': `)."""
    shown: dict[str, Any] = {}
    lacking = ""
    for name in piece.column_names:
        scalar = piece.column(name)[0]
        try:
            shown[name] = scalar.as_py()
        except BaseException as exc:  # told by whoever asked for the row
            if is_ctrl_c(exc):
                raise
            shown[name] = _shown(scalar)
            lacking = lacking or f"column {name!r}: "
    return shown, lacking


def _shown(scalar: Any) -> Any:
    """A value that Python has no type for: its bytes, its number, or its kind."""
    try:
        if hasattr(scalar, "as_buffer"):
            return scalar.as_buffer().to_pybytes()
        return f"{scalar.value} ({scalar.type})"
    except BaseException as exc:  # whatever is wrong with it, its kind can be told
        if is_ctrl_c(exc):
            raise
        return f"a {scalar.type} without a Python value"
