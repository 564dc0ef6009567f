"""Sources that wait where they read: what they gave before is on its way meanwhile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import penstock as ps
from penstock.operator import Context
from penstock.source import EndOfSplit, Position, Reader, Source

PATIENCE_S = 20.0


class Conversation(Source[int]):
    """Gives 1 while the next stage is busy with 0, and no more until 1 is there."""

    def __init__(self, folder: Path) -> None:
        self.busy, self.arrived = folder / "busy", folder / "arrived"

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[int]:
        return _Talking(self)


class _Talking(Reader[int]):
    def __init__(self, source: Conversation) -> None:
        self._source = source
        self._next = 0

    def read(self) -> list[int]:
        time.sleep(0.01)  # so it is known for waiting, however late it is told to continue
        if self._next == 1:
            wait_for(self._source.busy)
        if self._next == 2:
            wait_for(self._source.arrived)
            raise EndOfSplit
        self._next += 1
        return [self._next - 1]

    def position(self) -> Position:
        return self._next


def wait_for(path: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{path.name}: not in {PATIENCE_S} s")
        time.sleep(0.001)


class Answers:
    """Is busy with row 0 until row 1 must have been read."""

    def __init__(self, source: Conversation) -> None:
        self._source = source

    def __call__(self, row: int) -> int:
        if row == 0:
            self._source.busy.touch()
            time.sleep(0.3)
        else:
            self._source.arrived.touch()
        return row


def test_a_row_that_came_while_its_receiver_was_busy_does_not_wait_for_the_next_one(where: Any, tmp_path: Path) -> None:
    source = Conversation(tmp_path)
    app = ps.Pipeline("talk")
    app.source(source, name="ask").stage("answer").map(Answers(source)).sink(ps.discard())
    report = app.run(**where)
    assert report.stages["answer"].rows_in == 2
    assert report.stages["ask"].restarts == 0
