"""Where runs lie is as the user says, in Python as on the command line; and looking at them is only looking."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock as ps
from mounted import FileSystem, mounted
from penstock.engine import rundir
from penstock.supervisor.cleanup import remove_run_dir


def test_variables_name_the_places_in_python_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_RUN_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("PENSTOCK_STATE_DIR", str(tmp_path / "state"))
    app = ps.Pipeline("named-places")
    app.source([1, 2, 0], name="n").stage("work").map(lambda x: 1 / x).sink(ps.discard())
    with app.start() as handle:
        assert handle.run_dir.parent == tmp_path / "runs"
    [letter] = ps.read_dead_letters("named-places")
    assert letter.row == 0
    assert list((tmp_path / "state").rglob("*.dl"))
    with app.start(run_dir=tmp_path / "given") as handle:  # what is given goes before what is set
        assert handle.run_dir.parent == tmp_path / "given"


def test_results_may_be_given_places(tmp_path: Path) -> None:
    rows = ps.Pipeline("given-places").source([1, 0], name="n").stage("work").map(lambda x: 1 / x)
    with rows.results(run_dir=tmp_path / "run", state_dir=tmp_path / "state") as results:
        assert results.handle.run_dir.parent == tmp_path / "run"
        assert list(results) == [1.0]
    assert [letter.row for letter in ps.read_dead_letters("given-places", state_dir=tmp_path / "state")] == [0]


def test_looking_at_runs_does_not_stand_in_the_way_of_one_that_begins(tmp_path: Path) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            rundir.find_runs(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            fd = rundir.lock_run_dir(tmp_path / "run-1")  # raises AlreadyRunning where a look has taken the lock
            os.close(fd)
    finally:
        over.set()
        for looker in lookers:
            looker.join()
    remove_run_dir(tmp_path / "run-1")


def test_a_run_that_has_the_lock_is_seen_to_run(tmp_path: Path) -> None:
    fd = rundir.lock_run_dir(tmp_path / "run-1")
    try:
        [found] = rundir.find_runs(tmp_path)
        assert found.pid is not None
        with pytest.raises(ps.AlreadyRunning):
            rundir.lock_run_dir(tmp_path / "run-1")
    finally:
        os.close(fd)
    [found] = rundir.find_runs(tmp_path)
    assert found.pid is None


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[FileSystem]:
    """A file system as `/dev/shm` is in some containers."""
    with mounted(tmp_path / "read-only", "ro,mode=1777") as made:
        yield made


def _run_with_shared_memory_in(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> str:
    """Run to the end; what was told."""
    monkeypatch.setattr(rundir, "SHARED_MEMORY", place)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    app = ps.Pipeline("elsewhere")
    app.source([1, 2, 3], name="n").sink(ps.discard())
    with app.start() as handle:
        assert handle.run_dir.is_relative_to(tmp_path / "state")
    assert handle.report().outcome == "finished"
    return caplog.text


def test_shared_memory_that_is_read_only_is_passed_over_with_a_warning(
    read_only: FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = _run_with_shared_memory_in(read_only.path, tmp_path, monkeypatch, caplog)
    assert f"{read_only.path}" in told and "Read-only file system" in told and str(tmp_path / "state") in told


@pytest.mark.parametrize("place", ["/proc", "/sys/kernel"])
def test_a_place_in_which_nothing_can_be_made_is_passed_over_with_a_warning(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = _run_with_shared_memory_in(Path(place), tmp_path, monkeypatch, caplog)
    assert place in told and "it cannot be made" in told


def test_missing_shared_memory_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = _run_with_shared_memory_in(tmp_path / "none", tmp_path, monkeypatch, caplog)
    assert f"{tmp_path / 'none'} does not exist" in told


def test_a_place_that_was_named_is_never_passed_over(read_only: FileSystem) -> None:
    app = ps.Pipeline("named")
    app.source([1, 2, 3], name="n").sink(ps.discard())
    with pytest.raises(ps.NoRunDirectory, match="Read-only file system"):
        app.run(run_dir=read_only.path / "runs")


def test_what_was_left_in_a_place_that_is_read_only_now_is_not_passed_over(
    read_only: FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rundir, "SHARED_MEMORY", read_only.path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    app = ps.Pipeline("left")
    app.source([1, 2, 3], name="n").sink(ps.discard())
    read_only.remount("rw")
    with app.start() as handle:
        left = handle.run_dir
        (read_only.path / "copy").mkdir(mode=0o700)
        (read_only.path / "copy" / "manifest.json").write_bytes((left / "manifest.json").read_bytes())
    left.mkdir(parents=True, mode=0o700)
    (read_only.path / "copy" / "manifest.json").rename(left / "manifest.json")
    left.parent.chmod(0o700)
    read_only.remount("ro")
    with pytest.raises(ps.NoRunDirectory, match="Read-only file system"):
        app.run()
