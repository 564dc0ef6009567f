"""Whoever is killed, and however often: each row comes once, with the version that held at its time."""

from __future__ import annotations

import os
import random
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import Collected, CountedUntil, Habits, for_chaos, seconds, survive

import penstock as ps
from penstock.plan.plan import Plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

DISORDER = 40
Event = dict[str, int]


def event(number: int) -> Event:
    """One of four is a version; one of nine of these says that its key is gone."""
    side = number % 4 == 3
    key = number * 31 % 23 if not side else number * 17 % 29
    return {"key": key, "t": number + number * 7919 % DISORDER, "n": number, "side": side, "gone": number % 9 == 0}


def is_row(row: Event) -> bool:
    return not row["side"]


def is_version(row: Event) -> bool:
    return bool(row["side"])


def numbered(pair: tuple[Event, Event | None]) -> dict[str, Any]:
    row, version = pair
    return {"row": row["n"], "version": None if version is None else version["n"]}


def plan_of(folder: Path, name: str) -> Plan:
    app = ps.Pipeline(name)
    numbers = app.source(CountedUntil(folder / "enough"), name="numbers")
    rows = numbers.stage("rows").map(event).filter(is_row).event_time("t", disorder=DISORDER)
    versions = numbers.stage("versions").map(event).filter(is_version).event_time("t", disorder=DISORDER)
    found = rows.stage("found", workers=2).key_by("key").lookup(versions, versioned=True, gone="gone", how="left")
    found.map(numbered).sink(Collected(folder, "found"), name="found-out")
    return for_chaos(app.plan(), channel_bytes=512 * 1024)


def expected(rows: list[Event]) -> Counter[Any]:
    by_key: dict[int, list[tuple[int, int, bool]]] = {}
    for row in filter(is_version, rows):
        by_key.setdefault(row["key"], []).append((row["t"], row["n"], bool(row["gone"])))
    for versions in by_key.values():
        versions.sort()
    found: Counter[Any] = Counter()
    for row in filter(is_row, rows):
        versions = by_key.get(row["key"], [])
        place = bisect_right(versions, (row["t"], len(rows), True)) - 1
        known = place >= 0 and not versions[place][2]
        found[row["n"], versions[place][1] if known else None] += 1
    return found


ROUNDS = {
    "workers": Habits(one=1, some=2, all=1),
    "supervisors-too": Habits(one=8, some=2, all=1, zygote=1, supervisor=1),
}


@pytest.mark.parametrize("who", ROUNDS)
def test_versions_are_those_of_a_run_without_kills(who: str, tmp_path: Path) -> None:
    habits = ROUNDS[who]
    rng = random.Random(f"{habits} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")
    survived = survive(
        plan_of(tmp_path, f"chaos-lookups-{who}"), habits=habits, rng=rng, for_s=seconds(3.5),
        state_dir=tmp_path / "state", enough=tmp_path / "enough", least=15,
    )
    rows = [event(number) for number in range(survived.report.stages["rows"].rows_in)]
    given = Counter((row["row"], row["version"]) for row in Collected(tmp_path, "found").rows())
    assert given == expected(rows)
    assert survived.report.dead_letters == 0
    assert survived.kills >= 15
