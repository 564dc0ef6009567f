"""Whoever is killed, and however often: each window is given once, as in a run in which nobody was killed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import Collected, CountedUntil, Habits, for_chaos, seconds, survive

import penstock as ps
from penstock.plan.plan import Plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

KEYS = 40
DISORDER = 50
TUMBLING, SLIDING, EVERY, GAP = 500, 900, 300, 60


def key_of(row: dict[str, int]) -> int:
    return row["key"]


def event(number: int) -> dict[str, int]:
    """Keys are there for a while and then not; times are out of order by less than `DISORDER`."""
    key = number % 7 + 7 * (number // 1500 % 5)
    return {"key": key, "t": number + number * 7919 % DISORDER, "n": number}


def plan_of(folder: Path, name: str) -> Plan:
    app = ps.Pipeline(name)
    numbers = app.source(CountedUntil(folder / "enough"), name="numbers")
    events = numbers.stage("events").map(event).event_time("t", disorder=DISORDER)
    keyed = events.stage("windows", workers=2).key_by(key_of)
    totals = {"n": ps.count(), "total": ps.sum("n"), "top": ps.top_k(2, by="n", of="n")}
    for kind, window in WINDOWS.items():
        keyed.window(window).aggregate(**totals).sink(Collected(folder, kind), name=kind)
    keyed.window(ps.tumbling(TUMBLING), early=200, retractions=True).aggregate(**totals).map(flat).sink(
        Collected(folder, "changes"), name="changes"
    )
    return for_chaos(app.plan(), channel_bytes=512 * 1024)


WINDOWS = {
    "tumbling": ps.tumbling(TUMBLING), "sliding": ps.sliding(SLIDING, every=EVERY), "sessions": ps.session(GAP),
    "counts": ps.count_window(100),
}


def flat(change: ps.Change[dict[str, Any]]) -> dict[str, Any]:
    return {**change.row, "added": change.added}


def windows_of(start_of: Any, rows: list[dict[str, int]]) -> dict[tuple[int, float, float], list[int]]:
    found: dict[tuple[int, float, float], list[int]] = {}
    for row in rows:
        for start, end in start_of(row["t"]):
            found.setdefault((row["key"], start, end), []).append(row["n"])
    return found


def sessions_of(rows: list[dict[str, int]]) -> dict[tuple[int, float, float], list[int]]:
    found: dict[tuple[int, float, float], list[int]] = {}
    for key in {row["key"] for row in rows}:
        mine = sorted((row["t"], row["n"]) for row in rows if row["key"] == key)
        begin = 0
        for at in range(1, len(mine) + 1):
            if at == len(mine) or mine[at][0] - mine[at - 1][0] >= GAP:
                found[key, mine[begin][0], mine[at - 1][0] + GAP] = [n for _, n in mine[begin:at]]
                begin = at
    return found


def tumbling(time: int) -> list[tuple[int, int]]:
    return [(time // TUMBLING * TUMBLING, time // TUMBLING * TUMBLING + TUMBLING)]


def sliding(time: int) -> list[tuple[int, int]]:
    first = (time - SLIDING) // EVERY * EVERY + EVERY
    return [(start, start + SLIDING) for start in range(first, time + 1, EVERY)]


def results(windows: dict[tuple[int, float, float], list[int]]) -> set[Any]:
    return {(*place, len(ns), sum(ns), *sorted(ns, reverse=True)[:2]) for place, ns in windows.items()}


def given(rows: list[dict[str, Any]]) -> list[Any]:
    return [(row["key"], row["start"], row["end"], row["n"], row["total"], *row["top"]) for row in rows]


def counts_of(rows: list[dict[str, int]]) -> dict[tuple[int, float, float], list[int]]:
    found = {}
    for key in {row["key"] for row in rows}:
        mine = [row["n"] for row in rows if row["key"] == key]
        for start in range(0, len(mine), 100):
            found[key, float(start), float(start + len(mine[start : start + 100]))] = mine[start : start + 100]
    return found


ROUNDS = {
    "workers": Habits(one=1, some=2, all=1),
    "supervisors-too": Habits(one=8, some=2, all=1, zygote=1, supervisor=1),
}


@pytest.mark.parametrize("who", ROUNDS)
def test_windows_are_those_of_a_run_without_kills(who: str, tmp_path: Path) -> None:
    habits = ROUNDS[who]
    rng = random.Random(f"{habits} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")
    survived = survive(
        plan_of(tmp_path, f"chaos-windows-{who}"), habits=habits, rng=rng, for_s=seconds(3.5),
        state_dir=tmp_path / "state", enough=tmp_path / "enough", least=15,
    )
    rows = [event(number) for number in range(survived.report.stages["numbers"].rows_out)]
    expected = {
        "tumbling": results(windows_of(tumbling, rows)), "sliding": results(windows_of(sliding, rows)),
        "sessions": results(sessions_of(rows)), "counts": results(counts_of(rows)),
    }
    for kind, windows in expected.items():
        found = given(Collected(tmp_path, kind).rows())
        assert len(found) == len(windows), kind
        assert set(found) == windows, kind
    holds: dict[Any, int] = {}
    for row in Collected(tmp_path, "changes").rows():
        (one,) = given([row])
        holds[one] = holds.get(one, 0) + (1 if row["added"] else -1)
    assert {one for one, times in holds.items() if times} == expected["tumbling"]
    assert set(holds.values()) <= {0, 1}
    assert survived.report.dead_letters == 0
    assert survived.kills >= 15
