"""Whoever is killed, and however often: the state by key is that of a run in which nobody was killed."""

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

KEYS = 50
FAILS = 17


def key_of(number: int) -> int:
    return number % KEYS


def counted(state: list[int], number: int) -> tuple[list[int], dict[str, int]]:
    """Changed in place: what a failed row has done to it must be told apart from what others did."""
    state[0] += 1
    state[1] += number
    return state, {"number": number, "count": state[0], "sum": state[1]}


def refuses_some(row: dict[str, int]) -> dict[str, int]:
    if row["number"] % 1000 == FAILS:
        raise ValueError("no")
    return row


def plan_of(folder: Path, name: str, **options: Any) -> Plan:
    app = ps.Pipeline(name)
    numbers = app.source(CountedUntil(folder / "enough"), name="numbers")
    work = numbers.stage("sums", workers=2, **options).key_by(key_of).scan([0, 0], counted).map(refuses_some)
    work.sink(Collected(folder, "out"), name="out")
    return for_chaos(app.plan(), channel_bytes=512 * 1024)


ROUNDS = {
    "workers": Habits(one=1, some=2, all=1),
    "supervisors-too": Habits(one=8, some=2, all=1, zygote=1, supervisor=1),
}


@pytest.mark.parametrize("options", [{}, {"state": ps.rocksdict(cache="1 MiB")}], ids=["memory", "rocksdict"])
@pytest.mark.parametrize("who", ROUNDS)
def test_sums_by_key_are_those_of_a_run_without_kills(who: str, options: dict[str, Any], tmp_path: Path) -> None:
    if options:
        pytest.importorskip("rocksdict")
    habits = ROUNDS[who]
    rng = random.Random(f"{habits} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")
    survived = survive(
        plan_of(tmp_path, f"chaos-state-{who}", **options), habits=habits, rng=rng, for_s=seconds(3.5),
        state_dir=tmp_path / "state", enough=tmp_path / "enough", least=15,
    )
    rows = Collected(tmp_path, "out").rows()
    total = survived.report.stages["numbers"].rows_out
    sums: dict[int, list[int]] = {}
    expected = {}
    for number in range(total):
        if number % 1000 != FAILS:
            _, row = counted(sums.setdefault(key_of(number), [0, 0]), number)
            expected[number] = row
    assert {row["number"]: row for row in rows} == expected
    assert len(rows) == len(expected)
    assert survived.report.dead_letters == total - len(expected)
    assert survived.kills >= 10
