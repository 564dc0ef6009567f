"""What failed and killed runs leave: little, on disk, named by the next run, and resumed from there."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_lines import Line

import penstock as ps
from penstock.engine import rundir
from penstock.plan.paths import RunPaths
from penstock.testing import ListSink

MIB = 1024 * 1024


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for the shared memory of the machine; the folder of this user's runs in it."""
    monkeypatch.setattr(rundir, "SHARED_MEMORY", tmp_path / "shm")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    (tmp_path / "shm").mkdir()
    return rundir.parents(None)[0]


@pytest.fixture
def disk(memory: Path) -> Path:
    place = rundir.left_to(None)
    assert place is not None
    return place


def _failing_stream(app: ps.Pipeline, tmp_path: Path, workers: int = 1, rows: int = 1000) -> ps.Stream[int]:
    broken = tmp_path / "broken"

    def work(x: int) -> int:
        if x == 500 and broken.exists():
            raise ValueError("broken code")
        return x

    numbers = app.source(range(rows), name="numbers")
    return numbers.stage("work", on_error=ps.fail(), workers=workers).map(work)


def _failing(
    tmp_path: Path, workers: int = 1, rows: int = 1000, out: ListSink[int] | None = None
) -> tuple[ps.Pipeline, ListSink[int]]:
    app, out = ps.Pipeline("leaving"), out or ListSink[int]()
    _failing_stream(app, tmp_path, workers, rows).sink(out, name="out")
    return app, out


def _fail(tmp_path: Path, **options: Any) -> tuple[ps.Pipeline, ListSink[int]]:
    (tmp_path / "broken").touch()
    app, out = _failing(tmp_path)
    with pytest.raises(ps.PipelineFailed):
        app.run(**options)
    (tmp_path / "broken").unlink()
    return app, out


def _taken(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) if folder.exists() else 0


def test_a_failed_run_leaves_its_backlog_on_disk_and_the_next_one_resumes_in_memory(
    tmp_path: Path, memory: Path, disk: Path
) -> None:
    app, out = _fail(tmp_path)
    assert _taken(memory) == 0
    assert 0 < _taken(disk) < MIB
    [found] = rundir.find_runs()
    assert (found.name, found.path.parent, found.phase, found.pid) == ("leaving", disk, "failed", None)
    with app.start() as handle:
        assert handle.run_dir.parent == memory
        assert _taken(handle.run_dir / "queues") > 16 * MIB  # reserved again: nothing fails half-way
    assert handle.wait().outcome == "finished"
    assert out.rows == list(range(1000))
    assert rundir.find_runs() == [] and _taken(disk) == 0


def _unread(results: ps.Results[int]) -> None:
    next(results)
    results.close()


def _read(results: ps.Results[int]) -> None:
    with pytest.raises(ps.PipelineFailed):
        list(results)


def _lost(results: ps.Results[int]) -> None:
    del results


@pytest.mark.parametrize("leave_off", [_read, _unread, _lost])
def test_a_failed_run_whose_rows_are_read_is_moved_once_nobody_reads_it(
    tmp_path: Path, memory: Path, disk: Path, leave_off: Callable[[ps.Results[int]], None]
) -> None:
    (tmp_path / "broken").touch()
    stream = _failing_stream(ps.Pipeline("leaving"), tmp_path)
    given = [stream.results()]
    handle = given[0].handle
    with pytest.raises(ps.PipelineFailed):
        handle.wait(timeout="60s")
    assert _taken(memory) > 0  # there are rows to be read
    leave_off(given.pop())
    assert _taken(memory) == 0
    assert 0 < _taken(disk) < MIB
    assert handle.run_dir.parent == disk
    (tmp_path / "broken").unlink()
    rows = list(stream.results())
    assert rows == list(range(1000 - len(rows), 1000))
    assert rundir.find_runs() == []


def test_what_stays_in_a_folder_that_was_named_is_shrunk_there(tmp_path: Path) -> None:
    where = tmp_path / "run"
    app, out = _fail(tmp_path, run_dir=where)
    assert 0 < _taken(where) < MIB
    assert app.run(run_dir=where).outcome == "finished"
    assert out.rows == list(range(1000))
    assert rundir.find_runs(where) == []


def test_what_was_left_is_resumed_after_a_restart_of_the_machine(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, out = _fail(tmp_path)
    monkeypatch.setattr(rundir, "boot_id", lambda: "another")
    assert app.run().outcome == "finished"
    assert out.rows == list(range(1000))


def test_fresh_discards_what_lies_on_disk_and_another_layout_leaves_it_there(
    tmp_path: Path, memory: Path, disk: Path
) -> None:
    _fail(tmp_path)
    changed, out = _failing(tmp_path, rows=1001)
    with pytest.raises(ps.LayoutChanged):
        changed.run()
    assert _taken(memory) == 0 and [run.path.parent for run in rundir.find_runs()] == [disk]
    assert changed.run(fresh=True).outcome == "finished"
    assert sorted(out.rows) == list(range(1001))
    assert rundir.find_runs() == []


def test_what_lies_on_disk_is_resumed_with_another_number_of_workers(tmp_path: Path, memory: Path, disk: Path) -> None:
    _, out = _fail(tmp_path)
    changed, out = _failing(tmp_path, workers=2, out=out)
    assert changed.run().outcome == "finished"
    assert sorted(out.rows) == list(range(1000))
    assert rundir.find_runs() == []


def test_whoever_dies_while_it_moves_leaves_one_run_and_not_two(tmp_path: Path, memory: Path, disk: Path) -> None:
    """Copied and not yet removed: both places have it, and the run that resumes from one discards the other."""
    import shutil

    app, out = _fail(tmp_path)
    [left] = rundir.find_runs()
    double = memory / left.path.name
    shutil.copytree(left.path, double)
    assert app.run().outcome == "finished"
    assert out.rows == list(range(1000))
    assert rundir.find_runs() == []


def test_a_run_of_another_pipeline_tells_of_a_killed_one_and_moves_it(
    tmp_path: Path, memory: Path, disk: Path, heard: Line, told: Line, caplog: pytest.LogCaptureFixture
) -> None:
    def work(x: int) -> int:
        if x == 10:
            heard.say()
            told.hear()
        return x

    app, out = ps.Pipeline("killed"), ListSink[int]()
    app.source(range(20), name="numbers").stage("work").map(work).sink(out, name="out")
    handle = app.start()
    heard.hear()
    os.kill(handle.supervisor_pid, signal.SIGKILL)
    with pytest.raises(ps.PipelineFailed):
        handle.wait(timeout="60s")
    assert _taken(memory) > 16 * MIB
    other = ps.Pipeline("other")
    other.source([1]).sink(ps.discard())
    other.run()
    assert _taken(memory) > 16 * MIB  # its own next run may be about to come
    paths = RunPaths(handle.run_dir)
    for path in (paths.lock, paths.phase):
        os.utime(path, (0, time.time() - 3600))
    with caplog.at_level(logging.WARNING):
        other.run()
    assert "killed" in caplog.text and str(disk) in caplog.text and "penstock clean" in caplog.text
    assert _taken(memory) == 0 and 0 < _taken(disk) < MIB
    told.say()
    assert app.start().wait(timeout="60s").outcome == "finished"
    assert out.rows == list(range(20))


def test_what_a_killed_removal_left_is_found_and_removed(tmp_path: Path, memory: Path) -> None:
    half = memory / ".half-0123456789ab.removing"
    (half / "queues").mkdir(parents=True)
    assert rundir.find_runs() == []  # it may be under way
    os.utime(half, (0, time.time() - 3600))
    [found] = rundir.find_runs()
    assert (found.name, found.phase, found.pid) == ("half", rundir.REMOVING, None)
    rundir.remove(found)
    assert rundir.find_runs() == [] and not half.exists()
