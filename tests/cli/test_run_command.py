"""Promises of `penstock run`: what it passes on, what it says where, and its exit codes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from penstock.cli.exit_codes import ExitCode, of_report
from penstock.errors import (
    AlreadyRunning,
    LayoutChanged,
    Mistake,
    OutputExists,
    PenstockError,
    PipelineFailed,
    PipelineInvalid,
    QueueDamaged,
)
from penstock.report import Outcome, Report, StageReport

Command = Callable[..., Result]


def report(outcome: Outcome = "finished", *, undelivered: int = 0, dead: int = 0, skipped: int = 0) -> Report:
    stages = {"load": StageReport("load", 10, 10, 0, dead, skipped, 0, 0.5)}
    return Report("clicks", outcome, 1.0, stages, undelivered)


class Running:
    """Stands for the engine: gives or raises what it is told to, remembers what it was given."""

    def __init__(self) -> None:
        self.result: Report | BaseException = report()
        self.given: dict[str, Any] = {}

    def run(self, **given: Any) -> Report:
        self.given = given
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, program: Callable[[str, str], Path]) -> Running:
    running = Running()
    monkeypatch.setattr("penstock.pipeline.Pipeline.run", lambda self, **given: running.run(**given))
    program("clicks.py", 'from penstock.pipeline import Pipeline\napp = Pipeline("clicks")\nprint("by the user")\n')
    return running


def test_the_report_goes_to_stderr_and_stdout_is_the_users(engine: Running, penstock_command: Command) -> None:
    result = penstock_command("run", "clicks.py")
    assert result.exit_code == 0
    assert result.stdout == "by the user\n"
    assert "clicks: finished after 1.0 s" in result.stderr


def test_flags_reach_the_run(engine: Running, penstock_command: Command, tmp_path: Path) -> None:
    penstock_command(
        "run", "clicks.py", "--set", "load.workers=4", "--fresh", "--run-dir", "r", "--state-dir", "s", "--no-progress"
    )
    assert engine.given == {
        "settings": {"load.workers": "4"}, "fresh": True, "run_dir": Path("r"), "state_dir": Path("s"),
        "progress": False, "checkpoint": None, "from_checkpoint": "",
    }  # fmt: skip


def test_a_run_that_resumes_from_a_checkpoint_does_not_start_over(engine: Running, penstock_command: Command) -> None:
    result = penstock_command("run", "clicks.py", "--checkpoint", "store", "--from", "3", "--fresh")
    assert (result.exit_code, engine.given) == (ExitCode.USAGE, {})
    assert "--fresh starts over, --from resumes: give one of them" in result.stderr


def test_the_environment_is_read_and_flags_go_before_it(engine: Running, penstock_command: Command) -> None:
    env = {
        "PENSTOCK_SET": "load.workers=2 load.edge.memory='64 MiB'", "PENSTOCK_RUN_DIR": "/r", "PENSTOCK_STATE_DIR": "/s"
    }  # fmt: skip
    penstock_command("run", "clicks.py", "--set", "load.workers=4", env=env)
    assert engine.given["settings"] == {"load.workers": "4", "load.edge.memory": "64 MiB"}
    assert (engine.given["run_dir"], engine.given["state_dir"]) == (Path("/r"), Path("/s"))
    assert engine.given["progress"] is True


@pytest.mark.parametrize("setting", ["load", "load=3", "load.workers", "load.workers=", ".=3"])
def test_a_setting_of_another_form_is_refused_with_an_example(
    engine: Running, penstock_command: Command, setting: str
) -> None:
    result = penstock_command("run", "clicks.py", "--set", setting)
    assert result.exit_code == 2
    assert "write stage.option=value, such as enrich.workers=4" in result.stderr
    assert engine.given == {}


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (PipelineFailed("load", "too many errors", "Traceback: here", report("failed")), 1),
        (PipelineInvalid([Mistake("clicks.py", 4, "no sink", "add one")]), 2),
        (PenstockError("wrong; do it right"), 2),
        (AlreadyRunning(123, Path("/dev/shm/x")), 3),
        (LayoutChanged(["one more stage"]), 3),
        (OutputExists("visits.duckdb"), 3),
        (QueueDamaged("q", "torn"), 3),
        (SystemExit(4), 4),
        (RuntimeError("unforeseen"), 70),
    ],
)
def test_every_end_has_its_exit_code(
    engine: Running, penstock_command: Command, raised: BaseException, code: int
) -> None:
    engine.result = raised
    result = penstock_command("run", "clicks.py")
    assert result.exit_code == code
    assert result.stdout == "by the user\n"
    assert "error:" in result.stderr
    assert str(raised) in result.stderr or isinstance(raised, SystemExit)
    assert ("this is a bug in penstock" in result.stderr) == (code == 70)
    assert ("Traceback (most recent call last)" in result.stderr) == (code == 70)


def test_ctrl_c_before_anything_ran_is_told_in_one_line(engine: Running, penstock_command: Command) -> None:
    engine.result = KeyboardInterrupt()
    result = penstock_command("run", "clicks.py")
    assert (result.exit_code, result.stderr) == (130, "penstock: interrupted\n")


@pytest.mark.parametrize(("outcome", "code", "said"), [("drained", 4, "every row that it had read was delivered"),
                                                       ("stopped", 5, "rows in progress were dropped")])
def test_an_interrupted_run_is_reported_and_says_what_became_of_its_rows(
    engine: Running, penstock_command: Command, outcome: Outcome, code: int, said: str
) -> None:
    engine.result = KeyboardInterrupt()
    engine.result.report = report(outcome)  # type: ignore[attr-defined]
    result = penstock_command("run", "clicks.py")
    assert result.exit_code == code
    assert f"clicks: {outcome} after 1.0 s" in result.stderr
    assert f"{said}; the next run starts from the beginning" in result.stderr


def test_a_failed_run_is_reported_too(engine: Running, penstock_command: Command) -> None:
    engine.result = PipelineFailed("load", "too many errors", "", report("failed", dead=100))
    result = penstock_command("run", "clicks.py")
    assert "clicks: failed after 1.0 s" in result.stderr
    assert "stage 'load' failed: too many errors" in result.stderr


@pytest.mark.parametrize(
    ("ended", "strict", "code"),
    [
        (report(), True, 0),
        (report("drained"), True, 0),
        (report(dead=1), False, 0),
        (report(dead=1), True, 6),
        (report(skipped=1), True, 6),
        (report("stopped"), False, 5),
        (report("drained", undelivered=1), False, 5),
        (report("stopped", dead=1), True, 5),
        (report("failed"), True, 1),
    ],
)
def test_a_report_has_its_exit_code(ended: Report, strict: bool, code: int) -> None:
    assert of_report(ended, strict=strict) == ExitCode(code)


def test_strict_makes_dead_letters_an_exit_code(engine: Running, penstock_command: Command) -> None:
    engine.result = report(dead=2)
    assert penstock_command("run", "clicks.py").exit_code == 0
    assert penstock_command("run", "clicks.py", "--strict").exit_code == 6


def test_json_logs_make_every_line_of_stderr_an_object(
    engine: Running, penstock_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talkative(self: object, **given: Any) -> Report:
        logging.getLogger("penstock.worker").info("hello %s", "there", extra={"slot": "load/2"})
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("penstock.supervisor").exception("restarting")
        return engine.run(**given)

    monkeypatch.setattr("penstock.pipeline.Pipeline.run", talkative)
    result = penstock_command("run", "clicks.py", "--json-logs")
    said, failed, ended = map(json.loads, result.stderr.splitlines())
    assert (said["slot"], said["message"], said["level"]) == ("load/2", "hello there", "info")
    assert failed["error"].endswith("ValueError: no")
    assert ended["outcome"] == "finished"
    assert engine.given["progress"] is False


@pytest.mark.parametrize(("raised", "code"), [(PenstockError("do it right"), 2), (KeyboardInterrupt(), 130)])
def test_json_logs_tell_errors_as_objects_too(
    engine: Running, penstock_command: Command, raised: BaseException, code: int
) -> None:
    engine.result = raised
    result = penstock_command("run", "clicks.py", "--json-logs")
    [told] = map(json.loads, result.stderr.splitlines())
    assert (told["level"], result.exit_code) == ("error", code)
    assert told["message"] in ("do it right", "interrupted")


def test_worker_lines_are_labelled_and_the_level_counts(
    engine: Running, penstock_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talkative(self: object, **given: Any) -> Report:
        worker = logging.getLogger("penstock.worker")
        worker.debug("hidden", extra={"slot": "load/2"})
        worker.info("two\nlines", extra={"slot": "load/2"})
        logging.getLogger("penstock").warning("moved to disk")
        return engine.run(**given)

    monkeypatch.setattr("penstock.pipeline.Pipeline.run", talkative)
    result = penstock_command("run", "clicks.py")
    assert result.stderr.splitlines()[:3] == [
        "load/2 | two", "load/2 | lines", "penstock: warning: moved to disk",
    ]  # fmt: skip
    assert "hidden" in penstock_command("run", "clicks.py", "--log-level", "debug").stderr
    assert "two" not in penstock_command("run", "clicks.py", "--log-level", "warning").stderr


def test_no_color_is_obeyed(engine: Running, penstock_command: Command) -> None:
    engine.result = PenstockError("wrong")
    assert "\x1b[" in penstock_command("run", "clicks.py", color=True).stderr
    assert "\x1b[" not in penstock_command("run", "clicks.py", env={"NO_COLOR": "1"}, color=True).stderr
