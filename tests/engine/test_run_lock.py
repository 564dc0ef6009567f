"""A lock that nobody alive has is waited for, and one that somebody has is refused at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.engine import forks, rundir
from penstock.engine.early_supervisor import EarlySupervisor
from penstock.engine.run_lock import hold
from penstock.plan.paths import RunPaths


class _Order:
    """All that `hold` asks of an order."""

    in_own_place = False
    early = EarlySupervisor()


def _exited() -> int:
    """The pid of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _held_by(run_dir: Path, owner: int) -> int:
    """A descriptor with the lock, as a process has it that is still on its way to another program."""
    fd = rundir.lock_run_dir(run_dir)
    rundir.write_owner(fd, owner)
    return fd


@pytest.mark.parametrize("phase", ["starting", "running"])
def test_a_lock_is_waited_for_whose_owner_is_gone(tmp_path: Path, phase: str) -> None:
    fd = _held_by(tmp_path, _exited())
    RunPaths(tmp_path).phase.write_text(phase)
    releasing = threading.Timer(0.5, os.close, [fd])
    releasing.start()
    held = hold(tmp_path, _Order())  # type: ignore[arg-type]
    releasing.join()
    held.let_go()


def test_a_lock_is_waited_for_whose_owner_waits_to_be_reaped(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    fd = _held_by(tmp_path, process.pid)
    releasing = threading.Timer(0.5, os.close, [fd])
    releasing.start()
    held = hold(tmp_path, _Order())  # type: ignore[arg-type]
    releasing.join()
    process.wait()
    held.let_go()


def test_a_lock_that_this_process_noted_and_let_go_is_waited_for(tmp_path: Path) -> None:
    fd = _held_by(tmp_path, os.getpid())
    releasing = threading.Timer(0.5, os.close, [fd])  # a child between fork and exec has it that long
    releasing.start()
    held = hold(tmp_path, _Order())  # type: ignore[arg-type]
    releasing.join()
    held.let_go()


def test_a_lock_that_this_process_has_is_refused_at_once(tmp_path: Path) -> None:
    fd = forks.close_in_children(_held_by(tmp_path, os.getpid()))
    began = time.monotonic()
    with pytest.raises(ps.AlreadyRunning):
        hold(tmp_path, _Order())  # type: ignore[arg-type]
    assert time.monotonic() - began < 5
    forks.close(fd)


def test_a_lock_of_somebody_alive_is_refused_at_once(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    fd = _held_by(tmp_path, other.pid)
    began = time.monotonic()
    try:
        with pytest.raises(ps.AlreadyRunning, match=str(other.pid)):
            hold(tmp_path, _Order())  # type: ignore[arg-type]
    finally:
        other.kill()
        other.wait()
        os.close(fd)
    assert time.monotonic() - began < 5


def test_a_lock_whose_owner_is_gone_for_good_is_refused_in_the_end(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("penstock.engine.run_lock._GONE_S", 0.3)
    gone = _exited()
    fd = _held_by(tmp_path, gone)
    with pytest.raises(ps.AlreadyRunning, match=str(gone)):
        hold(tmp_path, _Order())  # type: ignore[arg-type]
    os.close(fd)
