"""State that is dealt to other slots: each key is found in the slot that owns it now, and in no other."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.channel.router import group_of_key
from penstock.memory_files import MemoryFiles
from penstock.plan.membership import dealt, moved
from penstock.slot.records.committed_log import bodies_in, frame
from penstock.slot.state import rotation
from penstock.slot.state.changelog import segment_path, segments_of
from penstock.slot.state.regroup import regrouped, taken_from
from penstock.slot.state.slot_state import SlotState
from penstock.slot.time_and_chance import MACHINE

BASE = Path("/run/slots/s.0/changelog")
KEYS = 60


class Slot:
    """One slot, with a value, a list and windows for each of its keys."""

    def __init__(self, log: bytes = b"") -> None:
        self.files, self.numbers = MemoryFiles(), list[int]()
        if log:
            self.files.open(segment_path(BASE, 1), 0o102).pwrite(log, 0)
            self.numbers = [1, len(log)]
        self.open()

    def open(self) -> None:
        self.room = SlotState(clock=msgspec.structs.replace(MACHINE, now_ns=itertools.count(step=1_000_000).__next__))
        stage = self.room.stage("s").of("op")
        self.values, self.lists, self.slices = stage.values("v", int), stage.lists("l", int), stage.slices("w", list)
        self.room.open(BASE, self.numbers, self.files)

    def commit(self) -> None:
        self.numbers = self.room.flush()
        self.room.committed()

    def bodies(self) -> list[bytes]:
        found = []
        for segment, length in segments_of(self.numbers):
            found += bodies_in(self.files.open(segment_path(BASE, segment), 0).pread(length, 0))
        return found

    def content(self) -> dict[str, dict[Any, Any]]:
        return {
            "values": {entry.key: entry.value for entry in self.values.all()},
            "lists": {entry.key: list(entry.value) for entry in self.lists.all()},
        }


class Model:
    def __init__(self) -> None:
        self.values: dict[int, int] = {}
        self.lists: dict[int, list[int]] = {}


ops = st.sampled_from(("set", "remove", "append", "commit", "life"))
steps = st.lists(st.tuples(ops, st.integers(0, KEYS)), max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), steps), min_size=2, max_size=4), st.booleans())
def test_each_key_is_found_where_it_belongs_however_often_slots_change(
    eras: list[tuple[int, list[tuple[str, int]]]], rotates: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if rotates:
            patch.setattr(rotation, "TAIL_S", 0.0)
        model = Model()
        slots, table = [Slot() for _ in range(eras[0][0])], dealt(eras[0][0])
        for workers, ops in eras:
            if workers != len(slots):
                slots, table = _rescaled(slots, table, workers)
            for op, key in ops:
                _do(op, key, slots, table, model)
            for slot in slots:
                slot.commit()
                slot.room.close()
                slot.open()
            _require(slots, table, model)


def _do(op: str, key: int, slots: list[Slot], table: tuple[int, ...], model: Model) -> None:
    slot = slots[table[group_of_key(key)]]
    match op:
        case "set":
            entry = slot.values.find(key)
            if entry is None:
                slot.values.add(key, model.values.get(key, 0) + 1)
            else:
                slot.values.replace(entry, entry.value + 1)
            model.values[key] = model.values.get(key, 0) + 1
        case "remove":
            entry = slot.values.find(key)
            assert (entry is None) == (key not in model.values)
            if entry is not None:
                slot.values.remove(entry)
                del model.values[key]
        case "append":
            slot.lists.append(key, key)
            model.lists.setdefault(key, []).append(key)
        case "commit":
            slot.commit()
        case "life":
            slot.commit()
            slot.room.close()
            slot.open()


def _rescaled(slots: list[Slot], table: tuple[int, ...], workers: int) -> tuple[list[Slot], tuple[int, ...]]:
    now = moved(table, workers)
    bodies = [slot.bodies() for slot in slots]
    made = []
    for number in range(workers):
        taken = taken_from(table, now, number)
        made.append(Slot(b"".join(regrouped((bodies[was], groups) for was, groups in taken.items()))))
    return made, now


def _require(slots: list[Slot], table: tuple[int, ...], model: Model) -> None:
    values: dict[int, int] = {}
    lists: dict[int, list[int]] = {}
    for number, slot in enumerate(slots):
        found = slot.content()
        for key in (*found["values"], *found["lists"]):
            assert table[group_of_key(key)] == number
        values |= found["values"]
        lists |= found["lists"]
    assert values == model.values
    assert lists == model.lists


def test_a_log_that_is_made_of_others_can_be_dealt_again_and_frames_of_strangers_are_left_out() -> None:
    slot = Slot()
    for key in range(KEYS):
        slot.values.add(key, key)
        slot.commit()
    half, other = range(128), range(128, 256)
    first = b"".join(regrouped([(slot.bodies(), half)]))
    again = b"".join(regrouped([(list(bodies_in(first)), range(64))]))
    assert len(again) < len(first) < sum(len(frame(body)) for body in slot.bodies())
    found = {entry.key for entry in Slot(again).values.all()}
    assert found == {key for key in range(KEYS) if group_of_key(key) < 64}
    assert not list(Slot(b"".join(regrouped([(list(bodies_in(first)), other)]))).values.all())
