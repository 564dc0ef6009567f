"""Whoever is killed, and however often: each window over columns is given once, as in a run without kills."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import Collected, CountedUntil, Habits, for_chaos, seconds, survive
from test_chaos_windows import DISORDER, EVERY, ROUNDS, SLIDING, TUMBLING, event, sliding, tumbling, windows_of

import penstock as ps
from penstock.plan.plan import Plan

pa = pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

WINDOWS = {"tumbling": ps.tumbling(TUMBLING), "sliding": ps.sliding(SLIDING, every=EVERY)}


def as_columns(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def plan_of(folder: Path, name: str) -> Plan:
    app = ps.Pipeline(name)
    numbers = app.source(CountedUntil(folder / "enough"), name="numbers")
    events = numbers.stage("events").map(event).map_batches(as_columns).event_time("t", disorder=DISORDER)
    keyed = events.stage("windows", workers=2).key_by("key")
    for kind, window in WINDOWS.items():
        results = keyed.window(window).aggregate(
            n=ps.count(), total=ps.sum("n"), first=ps.min("n"), last=ps.last("n"), latest=ps.max("t")
        )
        results.sink(Collected(folder, kind), name=kind)
    plan = app.plan()
    assert plan.to_text().count("takes columns as they are") == 2
    return for_chaos(plan, channel_bytes=512 * 1024)


def expected_of(windows: dict[tuple[int, float, float], list[int]], time_of: dict[int, int]) -> set[Any]:
    return {
        (*place, len(ns), sum(ns), min(ns), max(ns, key=lambda n: (time_of[n], n)), max(time_of[n] for n in ns))
        for place, ns in windows.items()
    }


@pytest.mark.parametrize("who", ROUNDS)
def test_windows_of_columns_are_those_of_a_run_without_kills(who: str, tmp_path: Path) -> None:
    habits: Habits = ROUNDS[who]
    rng = random.Random(f"{habits} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")
    survived = survive(
        plan_of(tmp_path, f"chaos-columns-{who}"), habits=habits, rng=rng, for_s=seconds(3.5),
        state_dir=tmp_path / "state", enough=tmp_path / "enough", least=15,
    )
    rows = [event(number) for number in range(survived.report.stages["numbers"].rows_out)]
    time_of = {row["n"]: row["t"] for row in rows}
    for kind, start_of in (("tumbling", tumbling), ("sliding", sliding)):
        expected = expected_of(windows_of(start_of, rows), time_of)
        names = ("key", "start", "end", "n", "total", "first", "last", "latest")
        found = [tuple(row[name] for name in names) for row in Collected(tmp_path, kind).rows()]
        assert len(found) == len(expected), kind
        assert set(found) == expected, kind
    assert survived.report.dead_letters == 0
    assert survived.kills >= 15
