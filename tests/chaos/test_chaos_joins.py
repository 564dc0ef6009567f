"""Whoever is killed, and however often: a join gives each pair once, and each row without a match once."""

from __future__ import annotations

import os
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import Collected, CountedUntil, Habits, for_chaos, seconds, survive

import penstock as ps
from penstock.plan.plan import Plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

DISORDER, BEFORE, AFTER, WINDOW = 40, 20, 60, 100
Event = dict[str, int]


def event(number: int) -> Event:
    """Of both sides; three of four rows of the right side have no key that the left side has."""
    side = number % 2
    key = number // 2 * 31 % 23 if side == 0 else number // 2 * 17 % 92
    return {"key": key, "t": number + number * 7919 % DISORDER, "n": number, "side": side}


def is_left(row: Event) -> bool:
    return row["side"] == 0


def is_right(row: Event) -> bool:
    return row["side"] == 1


def numbered(pair: tuple[Event | None, Event | None]) -> dict[str, Any]:
    left, right = pair
    return {"left": None if left is None else left["n"], "right": None if right is None else right["n"]}


def plan_of(folder: Path, name: str) -> Plan:
    app = ps.Pipeline(name)
    numbers = app.source(CountedUntil(folder / "enough"), name="numbers")
    left = numbers.stage("left").map(event).filter(is_left).event_time("t", disorder=DISORDER)
    right = numbers.stage("right").map(event).filter(is_right).event_time("t", disorder=DISORDER)
    near = left.stage("near", workers=2).key_by("key").join(right, within=(BEFORE, AFTER), how="outer")
    near.map(numbered).sink(Collected(folder, "near"), name="near-out")
    windows = left.stage("same", workers=2).key_by("key").window(ps.tumbling(WINDOW))
    windows.join(right, how="left").map(numbered).sink(Collected(folder, "same"), name="same-out")
    return for_chaos(app.plan(), channel_bytes=512 * 1024)


def expected(rows: list[Event], matching: Callable[[int], tuple[int, int]], how: str) -> Counter[Any]:
    """`matching`: from and up to (not including) which times right rows match a left one."""
    by_key: dict[int, tuple[list[Event], list[Event]]] = {}
    for row in rows:
        by_key.setdefault(row["key"], ([], []))[row["side"]].append(row)
    found: Counter[Any] = Counter()
    for lefts, rights in by_key.values():
        rights.sort(key=time_of)
        times, matched = list(map(time_of, rights)), set()
        for a in lefts:
            start, stop = (bisect_left(times, time) for time in matching(a["t"]))
            numbers = [b["n"] for b in rights[start:stop]]
            found.update((a["n"], number) for number in numbers or [None])
            matched.update(numbers)
        if how == "outer":
            found.update((None, b["n"]) for b in rights if b["n"] not in matched)
    return found


def time_of(row: Event) -> int:
    return row["t"]


def near(left: int) -> tuple[int, int]:
    return left - BEFORE, left + AFTER + 1


def same(left: int) -> tuple[int, int]:
    return left // WINDOW * WINDOW, left // WINDOW * WINDOW + WINDOW


ROUNDS = {
    "workers": Habits(one=1, some=2, all=1),
    "supervisors-too": Habits(one=8, some=2, all=1, zygote=1, supervisor=1),
}


@pytest.mark.parametrize("who", ROUNDS)
def test_pairs_are_those_of_a_run_without_kills(who: str, tmp_path: Path) -> None:
    habits = ROUNDS[who]
    rng = random.Random(f"{habits} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")
    survived = survive(
        plan_of(tmp_path, f"chaos-joins-{who}"), habits=habits, rng=rng, for_s=seconds(3.5),
        state_dir=tmp_path / "state", enough=tmp_path / "enough", least=15,
    )
    rows = [event(number) for number in range(survived.report.stages["left"].rows_in)]
    for kind, matching, how in (("near", near, "outer"), ("same", same, "left")):
        given = Counter((row["left"], row["right"]) for row in Collected(tmp_path, kind).rows())
        assert given == expected(rows, matching, how), kind
    assert survived.report.dead_letters == 0
    assert survived.kills >= 15
