"""Hundreds of restarts leave supervisor and zygote as they were: no descriptor and no process more."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from chaos_harness import (
    Collected,
    CountedUntil,
    Habits,
    Killer,
    assert_nothing_left,
    children_of,
    for_chaos,
    processes_of,
    workers_of,
)
from chaos_stages import Paced

import penstock as ps
from penstock.engine import engine
from penstock.engine.handle import Handle

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

WORKERS = 4
RESTARTS = 300
SAMPLES = 10
PACE = Habits(pause_s=(0.03, 0.08), one=1, some=1, all=4)
"""Slow enough for most lives to get something done: else births are put off longer and longer."""


def _wait_until_calm(handle: Handle) -> None:
    """Until every slot has a worker, and nobody else is there."""
    deadline = time.monotonic() + 20.0
    while len(processes_of(handle.run_dir)) != WORKERS + 2 or len(workers_of(handle.run_dir)) != WORKERS:
        assert time.monotonic() < deadline, processes_of(handle.run_dir)
        assert not handle.wait_a_while(0.1)


def _descriptors(handle: Handle) -> dict[str, int]:
    zygote = next(pid for pid in children_of(handle.supervisor_pid) if pid not in workers_of(handle.run_dir))
    named = {"supervisor": handle.supervisor_pid, "zygote": zygote}
    # A birth has one more open for a moment: what is kept shows in the least of several looks.
    looks = []
    for _ in range(SAMPLES):
        looks.append({name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in named.items()})
        assert not handle.wait_a_while(0.05)
    return {name: min(look[name] for look in looks) for name in named}


def _restarts(handle: Handle) -> int:
    return sum(stage.restarts for stage in handle.status().stages.values())


def test_supervisor_and_zygote_hold_no_more_after_hundreds_of_restarts(tmp_path: Path) -> None:
    enough, out = tmp_path / "enough", Collected(tmp_path, "rows")
    app = ps.Pipeline("chaos-leaks")
    numbers = app.source(CountedUntil(enough, look_every=1), name="numbers")
    numbers.stage("pass", workers=2, edge=ps.Edge(batch_rows=4)).map(Paced(0.001)).sink(out)
    handle = engine.start(for_chaos(app.plan(), 16 * 1024), fresh=True, state_dir=tmp_path)
    with handle:
        _leaks_nothing(handle, enough, out)
    assert_nothing_left(handle.run_dir)


def _leaks_nothing(handle: Handle, enough: Path, out: Collected) -> None:
    _wait_until_calm(handle)
    before = _descriptors(handle)
    with Killer(handle, PACE, random.Random(17), 60.0):
        while _restarts(handle) < RESTARTS:
            assert not handle.wait_a_while(0.2)
    _wait_until_calm(handle)
    assert _descriptors(handle) == before
    enough.touch()
    report = handle.wait(timeout="60s")
    assert sorted(out.rows()) == list(range(report.stages["numbers"].rows_in))
    assert report.dead_letters == 0
    assert sum(stage.restarts for stage in report.stages.values()) >= RESTARTS
