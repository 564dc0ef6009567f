"""Whoever is killed, and however often: what a window counts is what a run without kills counts, and no row is late."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from zlib import crc32

import pytest
from chaos_harness import Collected, CountedUntil, Habits, for_chaos, seconds, survive

import penstock as ps
from penstock.operator import Retry
from penstock.plan.plan import Plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

KEYS = 700
WINDOW_MS = 500
DISORDER_MS = 400
FAILS = 17


def key_of(number: int) -> int:
    return number % KEYS


def time_of(number: int) -> int:
    """In milliseconds: a row each, but for some disorder."""
    return number + crc32(str(number).encode()) % DISORDER_MS


class SometimesDown:
    """A row that fails once and is tried again is there later than rows that are younger."""

    def __init__(self) -> None:
        self.failed = set[int]()

    def __call__(self, number: int) -> int:
        if number % 501 == FAILS and number not in self.failed:
            self.failed.add(number)
            raise Retry("not now", after="1s")
        return number


def plan_of(folder: Path, name: str) -> Plan:
    """Two sources that do not keep pace; hundreds of windows end at once, and a turn holds a part of them."""
    app = ps.Pipeline(name)
    streams = [
        app.source(CountedUntil(folder / "enough"), name=source).event_time(
            time_of, unit="ms", disorder=DISORDER_MS / 1000
        )
        for source in ("left", "right")
    ]
    tried = streams[0].merge(streams[1]).stage("try", workers=2, retries=9).map(SometimesDown())
    counted = tried.stage("count", workers=2).key_by(key_of).window(ps.tumbling(WINDOW_MS / 1000)).fold(0, add)
    counted.map(as_row).sink(Collected(folder, "out"), name="out")
    return for_chaos(app.plan(), channel_bytes=64 * 1024)


def add(total: int, number: int) -> int:
    return total + number


def as_row(result: ps.WindowResult[int, int]) -> list[int]:
    return [result.key, result.start, result.value]


ROUNDS = {
    "workers": Habits(one=4, some=2, all=1),
    "supervisors-too": Habits(one=8, some=2, all=1, zygote=1, supervisor=1),
}


@pytest.mark.parametrize("who", ROUNDS)
def test_windows_hold_what_they_hold_in_a_run_without_kills(who: str, tmp_path: Path) -> None:
    habits = ROUNDS[who]
    rng = random.Random(f"{habits} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")
    survived = survive(
        plan_of(tmp_path, f"chaos-times-{who}"), habits=habits, rng=rng, for_s=seconds(4.0),
        state_dir=tmp_path / "state", enough=tmp_path / "enough", least=15,
    )
    report = survived.report
    expected: Counter[tuple[int, int]] = Counter()
    for source in ("left", "right"):
        for number in range(report.stages[source].rows_out):
            expected[key_of(number), time_of(number) // WINDOW_MS * WINDOW_MS] += number
    rows = Collected(tmp_path, "out").rows()
    found = {(key, start): total for key, start, total in rows}
    assert len(found) == len(rows), "a window was given twice"
    assert found == dict(expected)
    assert report.stages["count"].late == 0
    assert report.dead_letters == 0
    assert survived.kills >= 15
