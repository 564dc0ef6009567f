"""Batch functions are given what waits together, or as many rows as were asked for, and each row its own fate."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import penstock as ps
from penstock.testing import ListSink


def _wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.002)


class Notes:
    """A model that notes how many rows each call had."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, rows: int) -> None:
        with (self.folder / "calls").open("a") as calls:
            calls.write(f"{rows}\n")

    def __call__(self, rows: list[int]) -> list[int]:
        self.note(len(rows))
        return [2 * row for row in rows]


def calls(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "calls").read_text().split()]


class SlowAtFirst(Notes):
    """The first call lasts until the source has given everything."""

    def __call__(self, rows: list[int]) -> list[int]:
        _wait_for(self.folder / "all given")
        return super().__call__(rows)


class Trickle:
    """Gives rows one by one, each sent on before the next one."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows

    def __call__(self) -> Iterator[int]:
        for row in range(self.rows):
            yield row
            time.sleep(0.002)
        (self.folder / "all given").touch()


def test_rows_that_came_during_a_call_are_taken_together_by_the_next(where: Any, tmp_path: Path) -> None:
    app, out = ps.Pipeline("together"), ListSink[int]()
    stage = app.source(Trickle(tmp_path, 200), name="rows").stage("model")
    stage.map_many(SlowAtFirst(tmp_path)).sink(out, name="out")
    app.run(**where)
    assert list(out.rows) == [2 * row for row in range(200)]
    assert len(calls(tmp_path)) <= 20


class ColumnsAtFirst(Notes):
    def __call__(self, table: pa.Table) -> pa.Table:  # type: ignore[override]
        _wait_for(self.folder / "all given")
        self.note(table.num_rows)
        return table


def test_columns_are_taken_together_too(where: Any, tmp_path: Path) -> None:
    app, out = ps.Pipeline("columns"), ListSink[dict[str, int]]()
    stage = app.source(Trickle(tmp_path, 100), name="rows").map(lambda n: {"n": n}).stage("model")
    stage.map_batches(ColumnsAtFirst(tmp_path)).sink(out, name="out")
    app.run(**where)
    assert [row["n"] for row in out.rows] == list(range(100))
    assert len(calls(tmp_path)) <= 20


@pytest.mark.parametrize("fused", [True, False], ids=["in the source's stage", "in a stage of its own"])
def test_a_stage_waits_for_as_many_rows_as_were_asked_for_and_no_longer_than_input_comes(
    where: Any, tmp_path: Path, fused: bool
) -> None:
    app, out = ps.Pipeline("asked"), ListSink[int]()
    stream = app.source(Trickle(tmp_path, 50), name="rows")
    stage = stream if fused else stream.stage("model")
    stage.map_many(Notes(tmp_path), rows=16, wait="1h").sink(out, name="out")
    app.run(**where)
    assert list(out.rows) == [2 * row for row in range(50)]
    assert calls(tmp_path) == [16, 16, 16, 2]


class AwaitsACall:
    """Gives three rows, and ends once they were called for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> Iterator[int]:
        yield from range(3)
        _wait_for(self.folder / "calls")


def test_a_stage_waits_no_longer_than_it_was_told(where: Any, tmp_path: Path) -> None:
    app, out = ps.Pipeline("waits"), ListSink[int]()
    stage = app.source(AwaitsACall(tmp_path), name="rows").stage("model")
    stage.map_many(Notes(tmp_path), rows=100, wait="50ms").sink(out, name="out")
    app.run(**where)
    assert list(out.rows) == [0, 2, 4]


def test_a_drain_does_not_wait_for_more(where: Any, tmp_path: Path) -> None:
    def endless() -> Iterator[int]:
        yield from range(5)
        (tmp_path / "given").touch()
        while True:
            time.sleep(0.1)
            yield 5

    app, out = ps.Pipeline("drains"), ListSink[int]()
    stage = app.source(endless, name="rows").stage("model")
    stage.map_many(Notes(tmp_path), rows=100_000, wait="1h").sink(out, name="out")
    handle = app.start(**where)
    _wait_for(tmp_path / "given")
    while handle.status().stages["rows"].rows_out < 5:
        time.sleep(0.01)
    report = handle.drain()
    assert report.stages["model"].rows_in == report.stages["rows"].rows_out == len(out.rows)


def test_no_call_has_more_rows_than_were_asked_for(where: Any, tmp_path: Path) -> None:
    app, out = ps.Pipeline("caps"), ListSink[int]()
    stream = app.source(range(1000), name="rows").stage("model").flat_map(lambda row: [row] * 3)
    stream.map_many(Notes(tmp_path), rows=10).sink(out, name="out")
    app.run(**where)
    assert len(out.rows) == 3000
    assert max(calls(tmp_path)) == 10


class Fails(SlowAtFirst):
    """Cannot take some rows."""

    def __call__(self, rows: list[int]) -> list[int]:
        _wait_for(self.folder / "all given")
        if any(row % 40 == 7 for row in rows):
            raise ValueError("no")
        return rows


@pytest.mark.parametrize("options", [{}, {"ordered": True}, {"retries": 1, "retry_delay": "1ms"}])
def test_rows_of_several_batches_that_fail_together_are_found(
    where: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    app, out = ps.Pipeline("fails"), ListSink[int]()
    stage = app.source(Trickle(tmp_path, 100), name="rows").stage("model", **options)
    stage.map_many(Fails(tmp_path)).sink(out, name="out")
    report = app.run(**where)
    letters = ps.read_dead_letters("fails", state_dir=where["state_dir"])
    assert sorted(letter.row for letter in letters) == [7, 47, 87]
    assert list(out.rows) == [row for row in range(100) if row % 40 != 7]
    assert report.stages["model"].rows_in == 100


def _exit(rows: list[int]) -> None:
    os._exit(3)


def _hang(rows: list[int]) -> None:
    time.sleep(60)


class Deadly(SlowAtFirst):
    def __init__(self, folder: Path, deed: Callable[[list[int]], None]) -> None:
        super().__init__(folder)
        self.deed = deed

    def __call__(self, rows: list[int]) -> list[int]:
        _wait_for(self.folder / "all given")
        if 60 in rows:
            self.deed(rows)
        return rows


@pytest.mark.parametrize("deed", [_exit, _hang])
def test_a_row_that_ends_a_call_of_several_batches_is_found(
    where: Any, tmp_path: Path, deed: Callable[[list[int]], None]
) -> None:
    app, out = ps.Pipeline("deadly"), ListSink[int]()
    stage = app.source(Trickle(tmp_path, 100), name="rows").stage("model", timeout="2s")
    stage.map_many(Deadly(tmp_path, deed)).sink(out, name="out")
    app.run(**where)
    letters = ps.read_dead_letters("deadly", state_dir=where["state_dir"])
    assert [letter.row for letter in letters] == [60]
    assert list(out.rows) == [row for row in range(100) if row != 60]


class DiesOnce(Notes):
    def open(self, context: ps.Context) -> None:
        self.context = context

    def __call__(self, rows: list[int]) -> list[int]:
        if self.context.attempt <= 3 and rows[-1] > 100 * self.context.attempt:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows


def test_rows_are_given_out_once_when_a_worker_dies_in_a_call_of_several_batches(where: Any, tmp_path: Path) -> None:
    app, out = ps.Pipeline("once"), ListSink[int]()
    stage = app.source(range(1000), name="rows").stage("model", edge=ps.Edge(batch_rows=7))
    stage.map_many(DiesOnce(tmp_path), rows=16, wait="10ms").sink(out, name="out")
    report = app.run(**where)
    assert list(out.rows) == list(range(1000))
    assert report.dead_letters == 0
