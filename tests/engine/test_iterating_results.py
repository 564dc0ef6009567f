"""`results()`: rows of a run in the calling process, and the ways to leave off reading."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import penstock as ps
from penstock.engine import rundir
from penstock.engine.handle import Handle


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`results()` takes no directories: its run is this pipeline's, in this working directory."""
    monkeypatch.chdir(tmp_path)


def _doubled(rows: int, name: str = "doubled") -> ps.Stream[int]:
    return ps.Pipeline(name).source(range(rows), name="numbers").stage("work", workers=2, ordered=True).map(_double)


def _double(x: int) -> int:
    return 2 * x


def _runs() -> list[rundir.FoundRun]:
    return [run for run in rundir.find_runs() if run.cwd == str(Path.cwd())]


def test_all_rows_come_and_then_the_report() -> None:
    results = _doubled(5000).results()
    assert list(results) == [2 * x for x in range(5000)]
    assert results.report.outcome == "finished"
    assert next(results, None) is None
    assert _runs() == []


def test_a_few_rows_of_an_endless_stream_are_enough() -> None:
    def endless() -> Iterator[int]:
        x = 0
        while True:
            yield x
            x += 1

    with ps.Pipeline("endless").source(endless, name="count").results() as results:
        assert list(islice(results, 10)) == list(range(10))
    assert results.report.outcome == "stopped"
    assert _runs() == []


def test_close_stops_the_run_and_ends_the_iteration() -> None:
    results = _doubled(1_000_000).results()
    assert next(results) == 0
    results.close()
    results.close()
    assert list(results) == []
    assert results.report.outcome == "stopped"


def test_an_exception_in_the_loop_stops_the_run() -> None:
    results = _doubled(1_000_000).results()
    with pytest.raises(ZeroDivisionError), results:
        print(1 // next(results))
    assert results.report.outcome == "stopped"
    assert _runs() == []


def test_a_lost_iterator_stops_its_run() -> None:
    results = _doubled(1_000_000).results()
    handle = results.handle
    assert next(results) == 0
    del results
    gc.collect()
    assert handle.wait(timeout="30s").outcome == "stopped"


def test_reading_again_is_refused_while_earlier_results_are_open() -> None:
    # The earlier run used to be stopped, and its reader to see an early end without a word.
    stream = _doubled(20_000)
    with stream.results() as first:
        assert next(first) == 0
        with pytest.raises(ps.AlreadyRunning, match=r"'doubled' .* its results\(\) are open .* close them") as told:
            stream.results()
        assert told.value.run_dir == first.handle.run_dir
        assert list(first) == [2 * x for x in range(1, 20_000)]
        assert first.report.outcome == "finished"


def _leave_unread(stream: ps.Stream[int], how: str) -> None:
    results = stream.results()
    assert next(results) == 0
    if how == "closed":
        results.close()
    elif how == "exhausted":
        assert len(list(results)) == 19_999
    elif how == "lost in a cycle":
        results.myself = results  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["closed", "exhausted", "lost", "lost in a cycle"])
def test_results_that_nobody_reads_any_more_are_no_obstacle(how: str) -> None:
    app = ps.Pipeline("left")
    stream = app.source(range(20_000), name="numbers").stage("work", workers=2, ordered=True).map(_double)
    _leave_unread(stream, how)
    assert list(stream.results()) == [2 * x for x in range(20_000)]
    _leave_unread(stream, how)
    stream.sink(ps.discard())
    assert app.run(progress=False, fresh=True).outcome == "finished"


def test_results_that_another_thread_closes_are_waited_for() -> None:
    stream = _doubled(1_000_000)
    first = stream.results()
    assert next(first) == 0
    closing = threading.Thread(target=first.close)
    closing.start()
    while first.is_open:
        time.sleep(0.001)
    with stream.results() as second:
        assert next(second) == 0
    closing.join(60)
    assert not closing.is_alive() and first.report.outcome == "stopped"


def test_results_that_another_thread_closes_are_waited_for_until_their_run_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end comes first: rows that are on their way to the caller may still be read then."""
    read_through = Handle.read_through

    def late(handle: Handle) -> None:
        time.sleep(0.5)
        read_through(handle)

    monkeypatch.setattr(Handle, "read_through", late)
    stream = _doubled(1_000_000)
    first = stream.results()
    assert next(first) == 0
    closing = threading.Thread(target=first.close)
    closing.start()
    first.handle.wait_a_while(60)
    with stream.results() as second:
        assert next(second) == 0
    closing.join(60)
    assert not closing.is_alive()


def test_results_in_two_places_are_two_runs(tmp_path: Path) -> None:
    stream = _doubled(5000)
    with stream.results(run_dir=tmp_path / "a") as first, stream.results(run_dir=tmp_path / "b") as second:
        assert list(zip(first, second, strict=True)) == [(2 * x, 2 * x) for x in range(5000)]


def test_a_failing_stage_raises_where_rows_are_read() -> None:
    def fail_late(x: int) -> int:
        if x == 3000:
            raise ValueError("late")
        return x

    stream = ps.Pipeline("fails").source(range(5000), name="numbers").stage("work", on_error=ps.fail()).map(fail_late)
    read: list[int] = []
    with pytest.raises(ps.PipelineFailed, match="ValueError: late"):
        read.extend(stream.results())
    assert read == list(range(len(read)))
    assert len(read) <= 3000
    [left] = _runs()
    rundir.remove(left)


def test_other_sinks_of_the_pipeline_are_served_too(tmp_path: Path) -> None:
    from penstock.testing import ListSink

    app, out = ps.Pipeline("both"), ListSink[int]()
    numbers = app.source(range(100), name="numbers")
    numbers.sink(out, name="out")
    assert sorted(numbers.stage("work").map(_double).results()) == [2 * x for x in range(100)]
    assert out.rows == list(range(100))


def test_a_slow_reader_holds_up_the_source() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    stream = ps.Pipeline("slow").source(endless, name="blocks")
    with stream.results() as results:
        next(results)
        queued, still = -1, 0
        while still < 20:
            edge = results.handle.status().edges["blocks->results"]
            still = still + 1 if edge.queued_bytes == queued else 0
            queued = edge.queued_bytes
        assert 0 < queued <= edge.capacity_bytes


def test_another_run_of_the_pipeline_is_refused_while_rows_are_read() -> None:
    app = ps.Pipeline("busy")
    stream = app.source(range(1_000_000), name="numbers")
    with stream.results() as results:
        next(results)
        stream.sink(ps.discard())
        with pytest.raises(ps.AlreadyRunning):
            app.run(progress=False)
