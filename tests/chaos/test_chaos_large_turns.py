"""Turns that give more than their queues hold drain all the same, killed or not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from chaos_harness import Collected, Habits, Killer, assert_nothing_left, for_chaos
from chaos_stages import Blown, Huge, measured, one_key, part_measured

import penstock as ps
from penstock.engine import engine
from penstock.plan.plan import Plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

MB = 1_000_000
ROWS = 4_000
SELDOM = Habits(pause_s=(0.1, 0.5), one=3, some=1, all=0)


def _survive(plan: Plan, tmp_path: Path, killing_s: float) -> ps.Report:
    handle = engine.start(plan, fresh=True, state_dir=tmp_path)
    with Killer(handle, SELDOM, random.Random(7), killing_s) as killer:
        report = handle.wait(timeout="60s")
    assert bool(killer.kills) == bool(killing_s)
    assert report.outcome == "finished"
    assert report.dead_letters == 0
    assert_nothing_left(handle.run_dir)
    return report


@pytest.mark.parametrize("killing_s", [0.0, 3.0], ids=["undisturbed", "killed"])
def test_a_row_that_becomes_100_mb_of_rows_arrives_whole(killing_s: float, tmp_path: Path) -> None:
    out = Collected(tmp_path, "parts")
    app = ps.Pipeline("chaos-blown")
    blown = app.source([1, 2]).stage("blow").flat_map(Blown(rows=2_000, row_bytes=50_000))
    blown.stage("measure", workers=2).map(part_measured).sink(out)
    _survive(for_chaos(app.plan()), tmp_path, killing_s)
    assert sorted(out.rows()) == [[number, part, 50_000, True] for number in (1, 2) for part in range(2_000)]


@pytest.mark.parametrize("killing_s", [0.0, 3.0], ids=["undisturbed", "killed"])
def test_a_single_row_of_100_mb_arrives_whole(killing_s: float, tmp_path: Path) -> None:
    out = Collected(tmp_path, "rows")
    app = ps.Pipeline("chaos-huge")
    huge = app.source([1, 2, 3]).stage("make").map(Huge(100 * MB))
    huge.stage("measure").map(measured).sink(out)
    _survive(for_chaos(app.plan()), tmp_path, killing_s)
    assert out.rows() == [[number, 100 * MB, True] for number in (1, 2, 3)]


@pytest.mark.parametrize("killing_s", [0.0, 3.0], ids=["undisturbed", "killed"])
def test_large_turns_drain_when_all_keys_fall_on_one_worker(killing_s: float, tmp_path: Path) -> None:
    out = Collected(tmp_path, "parts")
    app = ps.Pipeline("chaos-skew")
    blown = app.source(range(ROWS), workers=2).stage("blow", workers=2)
    skewed = blown.flat_map(Blown(rows=50, row_bytes=4_000)).stage("one", workers=2).key_by(one_key)
    skewed.map(part_measured).sink(out)
    _survive(for_chaos(app.plan(), 64 * 1024), tmp_path, killing_s)
    assert sorted(out.rows()) == [[number, part, 4_000, True] for number in range(ROWS) for part in range(50)]
