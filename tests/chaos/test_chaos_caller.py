"""The caller's death ends all processes of the run, and the next run resumes from the queues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import chaos_mill
import pytest
from chaos_harness import assert_nothing_left, children_of, processes_of, wait_for_exit
from chaos_mill import Mill

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def _start_caller(mill: Mill, tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that runs the mill without an end, and the directory of its run."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    caller = subprocess.Popen(
        [sys.executable, chaos_mill.__file__, mill.name, str(mill.folder), str(tmp_path / "state")],
        stdout=subprocess.PIPE, text=True, env=env, cwd=Path.cwd(),
    )
    assert caller.stdout is not None
    with caller.stdout:
        return caller, Path(caller.stdout.readline().strip())


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_the_next_run_resumes_when_the_caller_is_killed_again_and_again(tmp_path: Path) -> None:
    mill = Mill("chaos-caller", tmp_path)
    for _ in range(3):
        caller, run_dir = _start_caller(mill, tmp_path)
        assert processes_of(run_dir)
        _kill(caller.pid)
        caller.wait()
    assert_nothing_left(run_dir, files=True)
    mill.enough.touch()
    from penstock.engine import engine

    report = engine.start(mill.plan(), state_dir=tmp_path / "state").wait()
    mill.assert_exact(report)
    assert_nothing_left(run_dir)


def test_the_next_run_takes_over_when_caller_and_supervisor_and_workers_die_together(tmp_path: Path) -> None:
    mill = Mill("chaos-caller-and-all", tmp_path)
    caller, run_dir = _start_caller(mill, tmp_path)
    supervisor = children_of(caller.pid)[0]
    everybody = [*processes_of(run_dir), caller.pid]
    assert supervisor in everybody
    _kill(supervisor)  # first, lest it tidies up
    for pid in everybody:
        try:
            _kill(pid)
        except ProcessLookupError:
            continue
    caller.wait()
    wait_for_exit(everybody)
    assert run_dir.is_dir()
    mill.enough.touch()
    from penstock.engine import engine

    report = engine.start(mill.plan(), state_dir=tmp_path / "state").wait()
    mill.assert_exact(report)
    assert_nothing_left(run_dir)
