"""Rows that `results()` cannot bring back in the calling process: the others come, and none is lost or told twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import penstock as ps

ROWS = 400


class ApiError(Exception):
    """As many libraries have them: its pickle cannot be made again, for `args` are not what `__init__` takes."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def call(n: int) -> tuple[int, ApiError | None]:
    return n, ApiError(503, "busy") if _is_bad(n) else None


def _is_bad(n: int) -> bool:
    return n % 50 in (0, 7, 49)


def far_times(rows: list[int]) -> pa.Table:
    times = [2**62 if _is_bad(n) else 0 for n in rows]  # in the year 148,000: no `datetime`
    return pa.table({"n": rows, "time": pa.array(times, pa.int64()).cast(pa.timestamp("us"))})


GOOD = [n for n in range(ROWS) if not _is_bad(n)]
BAD = [n for n in range(ROWS) if _is_bad(n)]


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Numbers:
    """A source that does not end before it may."""

    def __init__(self, may_end: Path) -> None:
        self.may_end = may_end

    def __call__(self) -> Iterator[int]:
        yield from range(ROWS)
        while not self.may_end.exists():
            time.sleep(0.01)


def _results(
    name: str, state: Path, rows: int = 16, fn: Any = call, source: Any = range(ROWS)
) -> ps.Results[Any]:
    stream = ps.Pipeline(name).source(source, name="numbers").stage("call").map(fn)
    return stream.results(state_dir=state, settings={"results.edge.batch_rows": rows})


@pytest.mark.parametrize("frame", [1, 16, ROWS])
def test_rows_before_and_behind_one_that_cannot_be_unpickled_come(
    frame: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = _results("undecodable", tmp_path, frame)
    assert [n for n, _ in results] == GOOD
    letters = list(ps.read_dead_letters("undecodable", state_dir=tmp_path))
    assert len(letters) == len(BAD)
    assert all(letter.stage == "results" and letter.row_pickle for letter in letters)
    assert "ApiError" in letters[0].error and "TypeError" in letters[0].error
    assert results.report.dead_letters == len(BAD)
    assert results.report.stages["results"].rows_out == len(GOOD)
    assert "results: the row cannot be decoded: TypeError" in caplog.text
    assert f"{len(BAD)} rows were set aside" in caplog.text


def test_rows_of_columns_without_a_python_value_are_set_aside_alone(tmp_path: Path) -> None:
    def columns(rows: pa.RecordBatch) -> pa.Table:
        return far_times(rows.column("value").to_pylist())

    stream = ps.Pipeline("columns").source(range(ROWS), name="numbers").stage("call").map_batches(columns)
    assert [row["n"] for row in stream.results(state_dir=tmp_path)] == GOOD
    assert [letter.row["n"] for letter in ps.read_dead_letters("columns", state_dir=tmp_path)] == BAD


def test_a_reader_that_left_off_finds_each_letter_once(tmp_path: Path) -> None:
    """As a killed program: its run is left, and the next one resumes after the last frame that was done."""
    source = Numbers(tmp_path / "may-end")  # else the run may be over before it is left, and the next one starts over
    results = _results("goes-on", tmp_path, source=source)
    read = [next(results)[0] for _ in range(len(GOOD) // 2)]
    results.handle.leave()
    assert results.handle.wait_a_while(60)
    del results
    source.may_end.touch()
    more = [n for n, _ in _results("goes-on", tmp_path, source=source)]
    assert sorted({*read, *more}) == GOOD
    assert more == GOOD[-len(more) :]
    assert len(list(ps.read_dead_letters("goes-on", state_dir=tmp_path))) == len(BAD)


def test_results_that_were_lost_in_a_cycle_hold_up_no_other_ones(tmp_path: Path) -> None:
    """The row that cannot be decoded has a traceback, and through it the results themselves."""
    results = _results("cycle", tmp_path)
    assert next(results)[0] == GOOD[0]
    assert results.handle.wait_a_while(60)  # its run is through, and its directory waits to be read
    cycle: list[Any] = [results]
    cycle.append(cycle)
    del results, cycle
    assert [n for n, _ in _results("cycle", tmp_path)] == GOOD


def test_a_letter_that_was_passed_stays_when_the_reader_stops_the_run(tmp_path: Path) -> None:
    with _results("stops", tmp_path, ROWS) as results:
        assert next(results)[0] == 1
    assert list(ps.read_dead_letters("stops", state_dir=tmp_path))
