"""Sources and sinks that raise: the run fails with their name and error, and resumes once they are repaired."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.batch import Batch
from penstock.sink import RowsRejected, Sink, Writer
from penstock.source import EndOfSplit, Reader, Source
from penstock.testing import ListSink

HERE = Path(__file__).name


class Numbers:
    """A source function that raises half-way while a file says so."""

    def __init__(self, broken: Path) -> None:
        self.broken = broken

    def __call__(self) -> Iterator[int]:
        for x in range(1000):
            if x == 500 and self.broken.exists():
                raise OSError("connection reset")
            yield x


def test_a_generator_that_raises_fails_its_stage_and_is_resumed(where: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    app, out = ps.Pipeline("feed"), ListSink[int]()
    app.source(Numbers(broken), name="numbers").sink(out, name="out")
    with pytest.raises(ps.PipelineFailed, match="OSError: connection reset") as caught:
        app.run(**where)
    assert caught.value.stage == "numbers"
    assert HERE in caught.value.traceback
    broken.unlink()
    app.run(**where)
    assert out.rows == list(range(1000))


class NeverOpens(Source[int]):
    def open(self, split: Any, position: Any, context: ps.Context) -> Reader[int]:
        raise PermissionError("no access to the feed")


def test_a_source_that_cannot_be_opened_is_named_with_its_error(where: Any) -> None:
    app = ps.Pipeline("feed")
    app.source(NeverOpens(), max_restarts="1/m").sink(ps.discard())
    with pytest.raises(ps.PipelineFailed, match="PermissionError: no access to the feed") as caught:
        app.run(**where)
    assert caught.value.stage == "neveropens"
    assert f'{HERE}", line' in caught.value.traceback


class Table(Sink[int]):
    """Opens after so many tries; refuses one row."""

    def __init__(self, tries: Path, opens_at: int) -> None:
        self.tries, self.opens_at = tries, opens_at

    @property
    def label(self) -> str:
        return "table"

    def writer(self, position: Any, context: ps.Context) -> Writer[int]:
        with self.tries.open("a") as file:
            file.write(".")
        if len(self.tries.read_text()) < self.opens_at:
            raise ConnectionError("the database is not up")
        return TableWriter()


class TableWriter(Writer[int]):
    def write(self, batch: Batch[Any]) -> None:
        assert isinstance(batch, list)
        if 7 in batch:
            raise RowsRejected({batch.index(7): "seven is taken"})


def test_a_sink_that_comes_up_late_is_waited_for(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("late")
    app.source(range(100), name="numbers").sink(Table(tmp_path / "tries", 3))
    report = app.run(**where)
    assert report.stages["table"].restarts == 2
    assert report.stages["table"].rows_out == 99


def test_a_sink_that_never_comes_up_fails_its_stage(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("never")
    app.source(range(100), name="numbers").sink(Table(tmp_path / "tries", 1000), max_restarts="2/m")
    with pytest.raises(ps.PipelineFailed, match="ConnectionError: the database is not up") as caught:
        app.run(**where)
    assert caught.value.stage == "table"


def test_a_row_that_the_sink_refuses_is_set_aside(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("refused")
    app.source(range(100), name="numbers").sink(Table(tmp_path / "tries", 0))
    app.run(**where)
    [letter] = ps.read_dead_letters("refused", state_dir=where["state_dir"])
    assert (letter.stage, letter.row) == ("table", 7)
    assert "seven is taken" in letter.error


class Dies:
    """An operator whose opening kills the process, as a broken library does."""

    def __init__(self, lives: Path) -> None:
        self.lives = lives

    def open(self, context: ps.Context) -> None:
        with self.lives.open("a") as file:
            file.write(".")
        os.kill(os.getpid(), signal.SIGSEGV)

    def __call__(self, x: int) -> int:
        return x


def test_a_crash_at_opening_is_told_after_the_second_life(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("crash")
    app.source(range(10), name="numbers").stage("m").map(Dies(tmp_path / "lives")).sink(ps.discard())
    with pytest.raises(ps.PipelineFailed, match="signal SIGSEGV"):
        app.run(**where)
    assert (tmp_path / "lives").read_text() == ".."


class Raises:
    """A source that raises before its first row, each time at the same line."""

    def __init__(self, lives: Path) -> None:
        self.lives = lives

    def __call__(self) -> Iterator[int]:
        with self.lives.open("a") as file:
            file.write(".")
        raise ValueError(f"no such feed, says process {os.getpid()}")
        yield 1


def test_a_source_that_raises_before_its_first_row_is_told_after_the_second_life(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("feed")
    app.source(Raises(tmp_path / "lives"), name="numbers").sink(ps.discard())
    with pytest.raises(ps.PipelineFailed, match="no such feed"):
        app.run(**where)
    assert (tmp_path / "lives").read_text() == ".."


class Model:
    def open(self, context: ps.Context) -> None:
        raise FileNotFoundError("model.pkl")

    def __call__(self, x: int) -> int:
        return x


def test_an_operator_that_cannot_be_opened_is_told_with_its_error(where: Any) -> None:
    app = ps.Pipeline("model")
    app.source(range(100), name="numbers").stage("score", max_restarts="1/m").map(Model).sink(ps.discard())
    with pytest.raises(ps.PipelineFailed, match=r"FileNotFoundError: model.pkl") as caught:
        app.run(**where)
    assert caught.value.stage == "score"
    assert f'{HERE}", line' in caught.value.traceback


class EndlessSource(Source[int]):
    """Counts for ever."""

    @property
    def bounded(self) -> bool:
        return False

    def open(self, split: Any, position: Any, context: ps.Context) -> Reader[int]:
        return EndlessReader(position or 0)


class EndlessReader(Reader[int]):
    def __init__(self, start: int) -> None:
        self.next = start

    def read(self) -> Batch[int]:
        if self.next > 1_000_000_000:
            raise EndOfSplit
        self.next += 100
        return list(range(self.next - 100, self.next))

    def position(self) -> int:
        return self.next


def test_an_endless_source_drains_to_whole_rows(where: Any) -> None:
    app, out = ps.Pipeline("endless"), ListSink[int]()
    app.source(EndlessSource(), name="count").sink(out, name="out")
    handle = app.start(**where)
    while handle.status().stages["out"].rows_in < 1000:
        continue
    report = handle.drain()
    assert report.outcome == "drained"
    assert report.undelivered_rows == 0
    assert out.rows == list(range(len(out.rows)))
    assert len(out.rows) == report.stages["count"].rows_in
