"""A supervisor that is started before it is known whether there will be a run serves that run, or is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

import penstock as ps
from penstock.engine import early_supervisor
from penstock.engine.early_supervisor import EarlySupervisor, started_early
from penstock.engine.supervisor_process import SupervisorProcess


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[SupervisorProcess]:
    """All supervisors that are started early from here on."""
    found: list[SupervisorProcess] = []

    class Noted(SupervisorProcess):
        def __init__(self, run_dir: Path, run_id: str) -> None:
            super().__init__(run_dir, run_id)
            found.append(self)

    monkeypatch.setattr(early_supervisor, "SupervisorProcess", Noted)
    return found


def _codes(started: list[SupervisorProcess]) -> list[int | None]:
    return [supervisor.process.returncode for supervisor in started]


def _app() -> ps.Pipeline:
    app = ps.Pipeline("early")
    app.source([1, 2, 3], name="numbers").stage("work").map(abs).sink(ps.discard(), name="out")
    return app


def test_a_new_run_has_the_one_that_was_started_before_the_plan_was_made(
    tmp_path: Path, started: list[SupervisorProcess]
) -> None:
    report = _app().run(progress=False, run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    assert report.stages["work"].rows_in == 3
    assert _codes(started) == [0]


def test_a_pipeline_that_is_refused_leaves_none(tmp_path: Path, started: list[SupervisorProcess]) -> None:
    app = ps.Pipeline("early")
    app.source([1], name="numbers").stage("work").map(abs)  # no sink
    with pytest.raises(ps.PipelineInvalid):
        app.run(progress=False, run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    assert _codes(started) == [-9]


def test_a_run_that_resumes_what_another_one_left_has_one_of_its_own(
    tmp_path: Path, started: list[SupervisorProcess]
) -> None:
    """Its workers bear the mark of the run that they resume; that of the early one is a new run's."""
    handle = _app().start(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    handle.leave()
    assert handle.wait_a_while(60)
    report = _app().run(progress=False, run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    assert report.stages["work"].rows_in == 3
    assert _codes(started) in ([0, -9, 0], [0, 0])  # the latter, if all was through before the first run was left


def test_whatever_happens_before_the_run_ends_it(tmp_path: Path, started: list[SupervisorProcess]) -> None:
    with pytest.raises(KeyboardInterrupt), started_early("early", tmp_path, tmp_path):
        raise KeyboardInterrupt
    assert _codes(started) == [-9]


@pytest.mark.parametrize("other", [("elsewhere", None), ("here", "another run")])
def test_one_that_does_not_fit_is_replaced(
    tmp_path: Path, started: list[SupervisorProcess], other: tuple[str, str | None]
) -> None:
    folder, run_id = other
    with EarlySupervisor(tmp_path / "here") as early:
        taken = early.take(tmp_path / folder, run_id or early.run_id)
        assert taken is started[1]
        assert started[0].process.returncode == -9
    assert taken.process.poll() is None
    taken.give_up()


def test_where_the_place_cannot_be_told_none_is_started(tmp_path: Path, started: list[SupervisorProcess]) -> None:
    """`deploy` says what is wrong with it."""
    with started_early("early", "~nobody-of-this-name/run", tmp_path):
        assert not started
