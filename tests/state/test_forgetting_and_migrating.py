"""Keys that are forgotten after a while, and states whose type has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock import testing
from penstock.memory_files import MemoryFiles
from penstock.slot.process.stops import StageFailed
from penstock.slot.state.slot_state import SlotState

BASE = Path("/run/slots/s.0/changelog")
Row = tuple[str, int]


def key_of(row: Row) -> str:
    return row[0]


def time_of(row: Row) -> float:
    return row[1]


def count(n: int, row: Row) -> tuple[int, tuple[str, int, int]]:
    return n + 1, (*row, n + 1)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60)), max_size=30))
def test_a_key_is_forgotten_once_it_had_no_row_for_its_time_to_live(steps: list[Row]) -> None:
    rows = [(key, sum(step for _, step in steps[: at + 1])) for at, (key, step) in enumerate(steps)]
    app = ps.Pipeline("ttl")
    read = app.source(rows or [("a", 0)], name="rows").event_time(time_of)
    read.stage("count").key_by(key_of).scan(0, count, ttl="64s").sink(ps.discard(), name="out")
    given_out = testing.run(app, {"rows": rows}).outputs["out"]
    before: dict[str, tuple[int, int]] = {}
    for key, time, number in given_out:
        last, had = before.get(key, (0, 0))
        if time - last <= 64:
            assert number == had + 1
        elif time - last > 64 + 4 + 4:  # a grain at most is added, and times begin within one
            assert number == 1
        else:
            assert number in (1, had + 1)
        before[key] = (time, number)
    assert len(given_out) == len(rows)


def test_without_event_times_the_wall_clock_forgets() -> None:
    app = ps.Pipeline("ttl")
    work = app.source([("a", 1)], name="rows").stage("count").key_by(key_of).scan(0, count, ttl="10s")
    work.sink(ps.discard(), name="out")
    script = [("a", 1), testing.Pause("8s"), ("a", 2), testing.Pause("8s"), ("a", 3), testing.Pause("20s"), ("a", 4)]
    outcome = testing.run(app, {"rows": testing.ScriptedSource(script)})
    assert [row[2] for row in outcome.outputs["out"]] == [1, 2, 3, 1]


class Old(msgspec.Struct):
    total: int


class New(msgspec.Struct):
    total: int
    rows: int = 0


def renewed(old: Any) -> New:
    return New(old["total"], 1)


def _room(files: MemoryFiles, numbers: list[int], type: Any, migrate: Any = None) -> tuple[SlotState, Any]:
    room = SlotState()
    shelf = room.stage("s").of("scan").values("", type, migrate)
    room.open(BASE, numbers, files)
    return room, shelf


def test_a_state_whose_type_has_changed_is_refused_or_migrated() -> None:
    files = MemoryFiles()
    room, shelf = _room(files, [], Old)
    for n in range(100):
        shelf.add(n, Old(n))
    numbers = room.flush()
    room.close()
    with pytest.raises(StageFailed, match=r"changed from Old\(total: int\) to New\(total: int, rows: int\)"):
        _room(files, numbers, New)
    room, shelf = _room(files, numbers, New, renewed)
    assert shelf.find(7).value == New(7, 1)
    shelf.replace(shelf.find(7), New(8, 2))
    numbers = room.flush()
    room.committed()
    room.close()
    room, shelf = _room(files, numbers, New)
    assert {entry.key: entry.value for entry in shelf.all()} == {n: New(n, 1) for n in range(100)} | {7: New(8, 2)}


def test_state_of_an_operator_that_is_gone_is_refused() -> None:
    files = MemoryFiles()
    room, shelf = _room(files, [], int)
    shelf.add("a", 1)
    numbers = room.flush()
    room.close()
    other = SlotState()
    other.stage("s").of("dedupe").values("", int)
    with pytest.raises(StageFailed, match="the run has state of scan in stage 's', which is gone"):
        other.open(BASE, numbers, files)
