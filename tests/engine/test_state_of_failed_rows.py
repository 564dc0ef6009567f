"""Rows that fail after an operator has written to state, in a real worker: what they wrote is taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

import penstock as ps
from penstock.graph.graph import Where
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Operator

ROWS = 10
BAD = 0
"""The first one: a worker whose row cannot be sent is restarted, and this state is only in memory."""


class Count(Operator, frozen=True):
    """Gives each row with the number of rows that have come through."""

    verb: ClassVar[str] = "count"
    writes_state: ClassVar[bool] = True

    def row_given(self, before: Any) -> Any:
        return tuple[Any, int]

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> Callable[[Any], Any]:
        state = {"rows": 0}

        def count(row: Any) -> tuple[Any, int]:
            undo.note(state.__setitem__, "rows", state["rows"])
            state["rows"] += 1
            return fn(row), state["rows"]

        return count


def same(row: int) -> int:
    return row


def raises(row: tuple[int, int]) -> tuple[int, int]:
    if row[0] == BAD:
        raise ValueError("no")
    return row


def unsendable(row: tuple[int, int]) -> tuple[Any, int]:
    return (lambda: None) if row[0] == BAD else row[0], row[1]


@pytest.mark.parametrize("spoil", [raises, unsendable], ids=["raises", "cannot be sent"])
def test_a_row_that_is_set_aside_does_not_count(spoil: Callable[[Any], Any], tmp_path: Path) -> None:
    app = ps.Pipeline("counts")
    work = app.source(range(ROWS)).stage("work")
    counted = work._then(Where("f.py", 1), Count(same, "f.py:1")).map(spoil)
    with counted.results(run_dir=tmp_path / "run", state_dir=tmp_path / "state") as results:
        rows = list(results)
    assert rows == [(n, n) for n in range(1, ROWS)]
