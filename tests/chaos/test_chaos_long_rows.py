"""Rows that take about as long as workers live: they get through, and none of them is blamed for the kills."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from chaos_harness import Collected, Habits, Killer, assert_nothing_left, for_chaos, seconds
from chaos_stages import Long

import penstock as ps
from penstock.dead_letters import read_dead_letters
from penstock.engine import engine
from penstock.plan.plan import Plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

LEAST_S, MOST_S = 0.02, 0.1
HABITS = {
    "at_random": Habits(pause_s=(0.01, 0.08), some=0, all=0),
    "at_random_all_at_once": Habits(pause_s=(0.03, 0.24), one=0, some=0, all=1),
    "every_35_ms": Habits(pause_s=(0.035, 0.035), some=0, all=0),
    "every_80_ms": Habits(pause_s=(0.08, 0.08), some=0, all=0),
}


def _plan(rows: int, out: Collected) -> Plan:
    app = ps.Pipeline("chaos-long-rows")
    long = app.source(range(rows)).stage("long", workers=2, edge=ps.Edge(batch_rows=8))
    long.map(Long(LEAST_S, MOST_S)).sink(out)
    return for_chaos(app.plan())


@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS.keys())
def test_rows_longer_than_the_time_between_kills_get_through_and_none_is_blamed(habits: Habits, tmp_path: Path) -> None:
    killing_s = seconds(2.5)
    rows = int(20 * killing_s)
    out = Collected(tmp_path, "rows")
    handle = engine.start(_plan(rows, out), fresh=True, state_dir=tmp_path)
    through: list[int] = []
    # Nothing gets through where being born takes longer than the time between kills: a busy machine gets more time.
    until = time.monotonic() + 60.0

    def note() -> bool:
        through.append(len(out.rows()))
        return through[-1] > 0 or time.monotonic() > until

    with Killer(handle, habits, random.Random(5), killing_s, note) as killer:
        report = handle.wait(timeout="5m")
    assert sorted(out.rows()) == list(range(rows))
    assert report.dead_letters == 0
    assert list(read_dead_letters("chaos-long-rows", state_dir=tmp_path)) == []
    assert killer.kills > 10
    assert not through or through[-1] > 0  # not: all of them were through before the time was over
    assert_nothing_left(handle.run_dir)
