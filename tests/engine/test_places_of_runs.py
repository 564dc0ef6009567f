"""Where runs lie is as the user says, in Python as on the command line; and looking at them is only looking."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import penstock as ps
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
