"""`start`, and what the handle does; runs that meet each other, and runs that meet what an earlier one left."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_lines import Line

import penstock as ps
from penstock.engine import rundir
from penstock.metrics.catalogue import Word
from penstock.metrics.snapshot import take_snapshot
from penstock.testing import ListSink


class Held:
    """Says each row and waits to be told before it continues."""

    def __init__(self, heard: Line, told: Line) -> None:
        self.heard, self.told = heard, told

    def __call__(self, x: int) -> int:
        self.heard.say(x)
        self.told.hear()
        return x


def _held(heard: Line, told: Line, rows: Any = range(2), **stage: Any) -> tuple[ps.Pipeline, ListSink[int]]:
    app, out = ps.Pipeline("held"), ListSink[int]()
    app.source(rows, name="numbers").stage("work", **stage).map(Held(heard, told)).sink(out, name="out")
    return app, out


def test_a_started_pipeline_is_watched_and_waited_for(where: Any, heard: Line, told: Line) -> None:
    app, out = _held(heard, told)
    handle = app.start(**where)
    assert handle.run_dir.parent == where["run_dir"] and handle.run_dir.is_dir()
    assert heard.hear() == "0"
    while (status := handle.status()).stages["numbers"].rows_out == 0:  # neighbours are rung before counts are shown
        assert not handle.wait_a_while(0.01)
    assert (status.pipeline, status.phase) == ("held", "running")
    assert status.stages["work"].workers == 1 and status.stages["numbers"].rows_out == 2
    assert set(status.edges) == {"numbers->work", "work->out"}
    with pytest.raises(TimeoutError, match="still running"):
        handle.wait(timeout="10ms")
    told.say()
    told.say()
    report = handle.wait(timeout="30s")
    assert report.outcome == "finished"
    assert out.rows == [0, 1]
    assert handle.status().phase == "ended"
    assert handle.wait() == report
    assert not handle.run_dir.exists()


def test_stop_drops_what_is_in_flight(where: Any, heard: Line, told: Line) -> None:
    app, out = _held(heard, told, range(1000))
    handle = app.start(**where)
    heard.hear()
    report = handle.stop()
    assert report.outcome == "stopped"
    assert report.undelivered_rows > 0
    assert out.rows == []
    assert not handle.run_dir.exists()


def test_drain_finishes_what_is_in_flight_and_says_if_the_input_was_cut(where: Any, heard: Line, told: Line) -> None:
    def endless() -> Iterator[int]:
        yield 1
        heard.say("waiting")
        told.hear()
        yield 2

    app, out = ps.Pipeline("cut"), ListSink[int]()
    app.source(endless, name="numbers").sink(out, name="out")
    handle = app.start(**where)
    heard.hear()
    report = handle.drain()
    assert report.outcome == "drained"
    assert list(out.rows) in ([], [1])
    assert report.undelivered_rows == 0


def test_leaving_the_block_waits_and_leaving_by_an_exception_stops(where: Any, heard: Line, told: Line) -> None:
    app, out = _held(heard, told)
    told.say()
    told.say()
    with app.start(**where) as handle:
        pass
    assert out.rows == [0, 1] and handle.wait().outcome == "finished"
    with pytest.raises(ZeroDivisionError), app.start(**where) as handle:
        raise ZeroDivisionError
    assert handle.wait().outcome == "stopped"


def test_the_first_status_has_rates(where: Any) -> None:
    app = ps.Pipeline("rates")
    app.source(itertools.count, name="numbers").stage("work").map(abs).sink(ps.discard(), name="out")
    with app.start(**where) as handle:
        while take_snapshot(handle.run_dir).stages["work"].pages[0].words[Word.ROWS_OUT] == 0:
            time.sleep(0.01)
        status = handle.status()
        assert status.stages["numbers"].rows_out_per_s > 0
        assert status.stages["work"].rows_in_per_s > 0
        assert handle.stop().outcome == "stopped"


def test_a_pipeline_that_runs_already_is_refused_with_the_process(where: Any, heard: Line, told: Line) -> None:
    app, _ = _held(heard, told)
    handle = app.start(**where)
    heard.hear()
    with pytest.raises(ps.AlreadyRunning) as caught:
        app.start(**where)
    assert caught.value.run_dir == handle.run_dir
    assert caught.value.pid == handle.supervisor_pid
    assert handle.stop().outcome == "stopped"


def _failing(tmp_path: Path, rows: int = 100) -> tuple[ps.Pipeline, ListSink[int]]:
    broken = tmp_path / "broken"

    def work(x: int) -> int:
        if x == 50 and broken.exists():
            raise ValueError("broken code")
        return x

    app, out = ps.Pipeline("failing"), ListSink[int]()
    app.source(range(rows), name="numbers").stage("work", on_error=ps.fail()).map(work).sink(out, name="out")
    return app, out


def test_a_changed_layout_is_refused_with_the_difference_and_fresh_discards(where: Any, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    app, _ = _failing(tmp_path)
    with pytest.raises(ps.PipelineFailed):
        app.run(**where)
    changed, out = _failing(tmp_path, rows=120)
    with pytest.raises(ps.LayoutChanged) as caught:
        changed.run(**where)
    assert any("stage numbers" in line for line in caught.value.difference)
    assert "fresh=True" in str(caught.value)
    (tmp_path / "broken").unlink()
    changed.run(fresh=True, **where)
    assert sorted(out.rows) == list(range(120))


def test_what_a_failed_run_left_is_listed_until_it_is_taken_over(where: Any, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    app, out = _failing(tmp_path)
    with pytest.raises(ps.PipelineFailed):
        app.run(**where)
    [found] = rundir.find_runs(where["run_dir"])
    assert (found.name, found.pid, found.phase, found.cwd) == ("failing", None, "failed", os.getcwd())
    (tmp_path / "broken").unlink()
    app.run(**where)
    assert out.rows == list(range(100))
    assert rundir.find_runs(where["run_dir"]) == []


def test_dead_letters_outlive_the_run_in_the_state_directory(where: Any) -> None:
    def fail(x: int) -> int:
        if x % 2:
            raise ValueError(x)
        return x

    app = ps.Pipeline("letters")
    app.source(range(4), name="numbers").map(fail).sink(ps.discard())
    app.run(**where)
    app.run(**where)
    letters = list(ps.read_dead_letters("letters", state_dir=where["state_dir"]))
    assert [letter.row for letter in letters] == [1, 3, 1, 3]
    assert len({letter.id for letter in letters}) == 4


def test_too_little_shared_memory_moves_the_run_to_disk_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, small = os.statvfs, tmp_path / "shm"
    small.mkdir()

    def statvfs(path: Any) -> os.statvfs_result:
        found = real(path)
        if not Path(path).is_relative_to(small):
            return found
        return os.statvfs_result([*found[:3], 1, 1, *found[5:]])

    monkeypatch.setattr(rundir, "SHARED_MEMORY", small)
    monkeypatch.setattr(os, "statvfs", statvfs)
    app, out = ps.Pipeline("disk"), ListSink[int]()
    app.source(range(10), name="numbers").sink(out, name="out")
    with caplog.at_level(logging.WARNING), app.start(state_dir=tmp_path / "state") as handle:
        assert handle.run_dir.is_relative_to(tmp_path / "state" / "run")
    assert out.rows == list(range(10))
    [warning] = [record.getMessage() for record in caplog.records if record.name == "penstock.engine"]
    assert warning.startswith(str(small)) and f"goes to {tmp_path}/state/run" in warning and "--run-dir" in warning
