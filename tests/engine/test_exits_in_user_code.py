"""Exits, interrupts and panics that user code raises are errors like any other: told with the user's line.

A row function's is its row's; that of `open`, a source or a sink is the failure of the stage; that of `close` is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.batch import Batch
from penstock.connectors import files, stdio
from penstock.sink import Sink, Writer
from penstock.source import EndOfSplit, Reader, Source
from penstock.testing import ListSink

HERE = Path(__file__).name
class Panic(BaseException):
    """As some libraries raise theirs."""


ERRORS = {
    "exit-0": (SystemExit, 0), "exit-text": (SystemExit, "text"), "ctrl-c": (KeyboardInterrupt, ""),
    "generator-exit": (GeneratorExit, ""), "panic": (Panic, "out of order"),
}
BAD = dict(enumerate(ERRORS, start=7))
"""The rows that raise, and what."""


def raise_it(name: str) -> None:
    kind, said = ERRORS[name]
    raise kind(said)


class Raises:
    """Raises for each bad row what is due for it."""

    def __call__(self, x: int) -> int:
        if x in BAD:
            raise_it(BAD[x])
        return x


class RaisesInBatch(Raises):
    def __call__(self, rows: Any) -> Any:
        return [super(RaisesInBatch, self).__call__(x) for x in rows]


class RaisesInCoroutine(Raises):
    async def __call__(self, x: int) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().__call__(x)


class RaisesInTask(Raises):
    """In a task that the row starts, which asyncio treats as the end of the whole loop."""

    async def __call__(self, x: int) -> int:  # type: ignore[override]
        async def inner() -> int:
            await asyncio.sleep(0)
            return super(RaisesInTask, self).__call__(x)

        return await asyncio.create_task(inner())


class Expands(Raises):
    def __call__(self, x: int) -> Iterator[int]:  # type: ignore[override]
        yield super().__call__(x)


def _numbers(app: ps.Pipeline) -> Any:
    return app.source(range(20), name="numbers")


ROW_FUNCTIONS = {
    "map": lambda app: _numbers(app).stage("work").map(Raises()),
    "map-with-time-out": lambda app: _numbers(app).stage("work", timeout="60s").map(Raises()),
    "filter": lambda app: _numbers(app).stage("work").filter(Raises()),
    "flat-map": lambda app: _numbers(app).stage("work").flat_map(Expands()),
    "map-many": lambda app: _numbers(app).stage("work").map_many(RaisesInBatch()),
    "coroutine": lambda app: _numbers(app).stage("work").map(RaisesInCoroutine()),
    "task": lambda app: _numbers(app).stage("work").map(RaisesInTask()),
}


@pytest.mark.parametrize("place", ROW_FUNCTIONS)
def test_what_a_row_function_raises_is_its_rows_error_and_takes_no_life(place: str, where: Any) -> None:
    app, out = ps.Pipeline("panics"), ListSink[Any]()
    ROW_FUNCTIONS[place](app).sink(out, name="out")
    report = app.run(**where)
    letters = {letter.row: letter for letter in ps.read_dead_letters("panics", state_dir=where["state_dir"])}
    assert sorted(letters) == sorted(BAD)
    for row, letter in letters.items():
        assert letter.stage == "work"
        _is_told(BAD[row], letter.error, letter.traceback)
    assert [stage.restarts for stage in report.stages.values()] == [0, 0, 0]
    assert {*range(1, 20)} - BAD.keys() <= set(out.rows)


def test_what_a_key_function_raises_is_its_rows_error(where: Any) -> None:
    app = ps.Pipeline("panics")
    _numbers(app).stage("work", workers=2).key_by(Raises()).map(str).sink(ps.discard(), name="out")
    report = app.run(**where)
    letters = {letter.row: letter.error for letter in ps.read_dead_letters("panics", state_dir=where["state_dir"])}
    assert sorted(letters) == sorted(BAD)
    assert all(ERRORS[BAD[row]][0].__name__ in error for row, error in letters.items())
    assert [stage.restarts for stage in report.stages.values()] == [0, 0, 0]


class Opens:
    def __init__(self, error: str) -> None:
        self.error = error

    def open(self, context: ps.Context) -> None:
        raise_it(self.error)

    def __call__(self, x: int) -> int:
        return x


class OpensInCoroutine(Opens):
    async def open(self, context: ps.Context) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        raise_it(self.error)


def _made_in_worker(error: str) -> Any:
    class Made:
        def __init__(self) -> None:
            raise_it(error)

        def __call__(self, x: int) -> int:
            return x

    return Made


class Feed(Source[int]):
    """A source that raises where `place` says."""

    def __init__(self, place: str, error: str) -> None:
        self.place, self.error = place, error

    def open(self, split: Any, position: Any, context: ps.Context) -> Reader[int]:
        if self.place == "open":
            raise_it(self.error)
        return _FeedReader(self)


class _FeedReader(Reader[int]):
    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    def read(self) -> list[int] | None:
        if self.feed.place == "read":
            raise_it(self.feed.error)
        raise EndOfSplit

    def position(self) -> int:
        return 0


class Table(Sink[int]):
    """A sink that raises where `place` says."""

    def __init__(self, place: str, error: str) -> None:
        self.place, self.error = place, error

    @property
    def label(self) -> str:
        return "table"

    def writer(self, position: Any, context: ps.Context) -> Writer[int]:
        self.at("writer")
        return _TableWriter(self)

    def at(self, place: str) -> None:
        if self.place == place:
            raise_it(self.error)


class _TableWriter(Writer[int]):
    def __init__(self, table: Table) -> None:
        self.table = table

    def write(self, batch: Batch[Any]) -> None:
        self.table.at("write")

    def finish(self) -> None:
        self.table.at("finish")

    def close(self) -> None:
        self.table.at("close")


class Function:
    """The function of a source."""

    def __init__(self, error: str) -> None:
        self.error = error

    def __call__(self) -> Iterator[int]:
        yield 1
        raise_it(self.error)


STAGES = {
    "open": lambda app, error: _numbers(app).stage("work").map(Opens(error)).sink(ps.discard()),
    "async-open": lambda app, error: _numbers(app).stage("work").map(OpensInCoroutine(error)).sink(ps.discard()),
    "init": lambda app, error: _numbers(app).stage("work").map(_made_in_worker(error)).sink(ps.discard()),
    "source-open": lambda app, error: app.source(Feed("open", error), name="work").sink(ps.discard()),
    "source-read": lambda app, error: app.source(Feed("read", error), name="work").sink(ps.discard()),
    "source-function": lambda app, error: app.source(Function(error), name="work").sink(ps.discard()),
    "sink-writer": lambda app, error: _numbers(app).sink(Table("writer", error), name="work"),
    "sink-write": lambda app, error: _numbers(app).sink(Table("write", error), name="work"),
    "sink-finish": lambda app, error: _numbers(app).sink(Table("finish", error), name="work", max_restarts="1/m"),
}


@pytest.mark.parametrize(
    ("place", "error"), [*((place, "ctrl-c") for place in STAGES), *(("open", error) for error in ERRORS)]
)
def test_what_anything_else_raises_is_the_failure_of_its_stage(place: str, error: str, where: Any) -> None:
    app = ps.Pipeline("panics")
    STAGES[place](app, error)
    with pytest.raises(ps.PipelineFailed) as failed:
        app.run(**where)
    assert failed.value.stage == "work"
    _is_told(error, failed.value.reason, failed.value.traceback)


class Asked(Feed):
    """A source that raises when it is asked for its splits, in the caller's process."""

    def splits(self) -> dict[str, Any]:
        raise_it(self.error)
        return {}


class Prepared(Table):
    """A sink that raises before the run, in the caller's process."""

    def refuse(self) -> None:
        self.at("refuse")

    def prepare(self) -> None:
        self.at("prepare")


BEFORE_THE_RUN = {
    "Asked.splits": lambda app, error: app.source(Asked("splits", error), name="work").sink(ps.discard()),
    "Prepared.refuse": lambda app, error: _numbers(app).sink(Prepared("refuse", error), name="work"),
    "Prepared.prepare": lambda app, error: _numbers(app).sink(Prepared("prepare", error), name="work"),
}


@pytest.mark.parametrize("place", BEFORE_THE_RUN)
@pytest.mark.parametrize("error", [error for error in ERRORS if error != "ctrl-c"])  # in this process it is Ctrl-C
def test_what_an_endpoint_raises_before_the_run_is_its_error_and_no_end_of_the_program(
    place: str, error: str, where: Any
) -> None:
    app = ps.Pipeline("panics")
    BEFORE_THE_RUN[place](app, error)
    with pytest.raises(ps.PenstockError, match=rf"stage 'work': {place}\(\) raised ") as failed:
        app.run(**where)
    _is_told(error, str(failed.value), str(failed.value))


class CallsBack:
    """Has the event loop call what raises, which nobody awaits."""

    async def __call__(self, x: int) -> int:
        if x in BAD:
            asyncio.get_running_loop().call_soon(raise_it, BAD[x])
        await asyncio.sleep(0)
        return x


def test_what_a_callback_of_the_event_loop_raises_is_told(where: Any, caplog: pytest.LogCaptureFixture) -> None:
    app, out = ps.Pipeline("panics"), ListSink[int]()
    _numbers(app).stage("work").map(CallsBack()).sink(out, name="out")
    with caplog.at_level(logging.ERROR, "penstock"):
        report = app.run(**where)
    assert (out.rows, report.dead_letters) == (list(range(20)), 0)
    told = " ".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records)
    assert told.count("Exception in callback") == len(ERRORS)
    assert all(kind.__name__ in told for kind, _ in ERRORS.values())


def test_an_exit_in_a_task_is_its_rows_error_and_told_once(where: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = ps.Pipeline("panics")
    ROW_FUNCTIONS["task"](app).sink(ps.discard())
    with caplog.at_level(logging.ERROR, "penstock"):
        assert app.run(**where).dead_letters == len(BAD)
    assert not [record for record in caplog.records if "callback" in record.getMessage()]


class Closes:
    def __init__(self, error: str) -> None:
        self.error = error

    def __call__(self, x: int) -> int:
        return x

    def close(self) -> None:
        raise_it(self.error)


def test_what_close_raises_is_told_whatever_else_is_closed_and_the_work_is_done(
    where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = ps.Pipeline("panics")
    stream = _numbers(app).stage("work")
    for error in ERRORS:
        stream = stream.map(Closes(error))
    stream.sink(Table("close", "panic"), name="out")
    with caplog.at_level(logging.WARNING, "penstock"):
        report = app.run(**where)
    assert report.outcome == "finished"
    assert [stage.restarts for stage in report.stages.values()] == [0, 0, 0]
    told = [(record.getMessage(), record.exc_text or "") for record in caplog.records]
    told = [(words, traceback) for words, traceback in told if "closing failed" in words]
    assert len(told) == len(ERRORS) + 1
    for error in ERRORS:
        words, traceback = next(pair for pair in told if f"{ERRORS[error][0].__name__}: {ERRORS[error][1]}" in (
            pair[0] if ERRORS[error][1] != "" else f"{pair[0]}: "))
        _is_told(error, words, traceback)


@dataclass
class Point:
    x: int


class Record(Point):
    """A row whose every word raises, if it is the bad one."""

    def __init__(self, at: int) -> None:
        self.at = at

    @property
    def x(self) -> int:  # type: ignore[override]
        return Raises()(self.at)

    def __str__(self) -> str:
        return f"{self.x}"


@pytest.mark.parametrize("sink", ["csv", "stdout"])
def test_what_a_row_raises_when_it_is_written_sets_the_row_aside(sink: str, where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("panics")
    out = files.csv(tmp_path / "out") if sink == "csv" else stdio.stdout()
    app.source([Record(at) for at in (1, *BAD)], name="numbers").sink(out, name="out")
    report = app.run(**where)
    assert (report.dead_letters, report.stages["out"].rows_out) == (len(BAD), 1)
    assert [stage.restarts for stage in report.stages.values()] == [0, 0]
    errors = " ".join(letter.error for letter in ps.read_dead_letters("panics", state_dir=where["state_dir"]))
    assert all(ERRORS[error][0].__name__ in errors for error in ERRORS)


def _is_told(error: str, reason: str, traceback: str) -> None:
    kind, said = ERRORS[error]
    assert kind.__name__ in reason and str(said) in reason
    assert "exit code" not in reason
    assert HERE in traceback and "raise kind(said)" in traceback
