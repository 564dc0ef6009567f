"""Who is to blame when the kernel kills for want of memory: the row that ate it, not whoever is largest."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.slot.records.work_page import Mark, WorkState
from penstock.supervisor import memory_kills
from penstock.supervisor.memory_kills import MemoryKills, row_ate_the_memory

GIB_KIB = 1024 * 1024
ROW = Mark(0, 0, 7, 3, 1)


def seen(mark: Mark | None, peak_kib: int) -> WorkState:
    return WorkState(mark, 0, 0, 0, peak_kib)


@pytest.mark.parametrize(
    ("state", "peak_kib", "blamed"),
    [
        (seen(ROW, GIB_KIB // 10), GIB_KIB, True),
        (seen(ROW, 3 * GIB_KIB), 3 * GIB_KIB, False),  # the largest, killed for what its neighbour ate
        (seen(ROW, 3 * GIB_KIB), 3 * GIB_KIB + 100_000, False),
        (seen(ROW, 10_000), 60_000, False),  # so little is nobody's ruin
        (seen(ROW, 0), GIB_KIB, False),  # nobody knows
        (seen(ROW, GIB_KIB // 10), 0, False),
        (seen(ROW.over(40), 0), GIB_KIB, True),  # only worked in smaller pieces for it
        (seen(None, 0), GIB_KIB, False),
    ],
)
def test_a_row_is_blamed_for_the_memory_that_it_ate_itself(state: WorkState, peak_kib: int, blamed: bool) -> None:
    assert row_ate_the_memory(state, peak_kib) is blamed


def test_only_kills_of_the_own_cgroup_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 1\noom_kill 4\n")
    monkeypatch.setattr(memory_kills, "_cgroup_events", lambda: events)
    kills = MemoryKills()
    assert not kills.happened()
    events.write_text("low 0\noom 2\noom_kill 5\n")
    assert kills.happened()


def test_a_kill_of_long_ago_is_not_this_deaths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = tmp_path / "memory.events"
    events.write_text("oom_kill 4\n")
    now = [100.0]
    monkeypatch.setattr(memory_kills, "_cgroup_events", lambda: events)
    monkeypatch.setattr(memory_kills.time, "monotonic", lambda: now[0])
    kills = MemoryKills()
    events.write_text("oom_kill 5\n")
    kills.look()
    now[0] += 11
    assert not kills.happened()


def test_where_nothing_is_counted_no_death_is_for_want_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_kills, "_cgroup_events", lambda: None)
    assert not MemoryKills().happened()
