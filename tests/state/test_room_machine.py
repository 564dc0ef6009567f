"""The state of a slot is what a plain dict would hold, whoever dies when: rows fail, commits are torn, logs rotate.

It holds for each backend: all in memory, and entries that come from a store and go again, over a store in memory that
is killed before or after a batch (`test_stored_state` has rocksdict's own).
"""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.memory_files import MemoryFiles
from penstock.slot.state import rotation, slot_state
from penstock.slot.state.changelog import segment_path, segments_of
from penstock.slot.state.shelf import CannotTakeBack
from penstock.slot.state.slot_state import SlotState
from penstock.slot.state.store import Store
from penstock.slot.time_and_chance import MACHINE

BASE = Path("/run/slots/s.0/changelog")


class Point(msgspec.Struct):
    x: int
    y: float = 0.0


keys = st.sampled_from(["a", "b", "c", 1, 2, (1, "x"), b"k", None, 2.0**-61, 2.0**-122, "\ud800"])
values = st.one_of(
    st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=3), st.builds(Point, st.integers())
)
times = st.integers(0, 9)


class Killed(BaseException):
    """The process died here."""


class DictStore:
    """A store over one file, which is written whole. `dies`: at its next batch."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "records"
        self.records: dict[bytes, bytes] = pickle.loads(self.path.read_bytes()) if self.path.exists() else {}
        self.dies = ""

    def get(self, key: bytes) -> bytes | None:
        return self.records.get(key)

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        made = [*changes]
        if self.dies == "before":
            raise Killed
        for key, record in made:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        self.path.write_bytes(pickle.dumps(self.records))
        if self.dies == "after":
            raise Killed

    def beginning_with(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, self.records[key]) for key in sorted(self.records) if key.startswith(prefix))

    def close(self) -> None:
        pass


class Room(RuleBasedStateMachine):
    """One slot's state, and the model of it."""

    caches: Mapping[str, int] = {}
    """As `SlotState`; none: all is in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.files = MemoryFiles()
        self.numbers: list[int] = []
        self.model: dict[str, dict[Any, Any]] = {kind: {} for kind in ("values", "lists", "maps", "buffers")}
        self.committed = copy.deepcopy(self.model)
        self.before_row = copy.deepcopy(self.model)

    @initialize(copies=st.booleans())
    def begin(self, copies: bool) -> None:
        self.copies = copies
        self._open()

    def _open(self) -> None:
        # A step, of which each takes a few looks at the clock, takes some milliseconds.
        clock = msgspec.structs.replace(MACHINE, now_ns=itertools.count(step=1_000_000).__next__)
        self.room = SlotState(copies=self.copies, clock=clock, caches=self.caches, store=self.open_store)
        stage = self.room.stage("s")
        self.undo = stage.undo
        state = stage.of("op")
        self.values, self.lists = state.values("v"), state.lists("l")
        self.maps, self.buffers = state.maps("m"), state.buffers("b")
        self.room.open(BASE, self.numbers, self.files, store=self.folder)

    def open_store(self, folder: Path, memory_bytes: int) -> Store:
        raise NotImplementedError

    folder: Path | None = None

    def steps(self, budget_s: float) -> None:
        """How much of the log is written anew, and how much of it is read, with the next commit."""

    # Writes of a row.

    @rule(key=keys, value=values)
    def set_value(self, key: Any, value: Any) -> None:
        entry = self.values.find(key)
        if entry is None:
            self.values.add(key, copy.deepcopy(value))
        else:
            self.values.keep(entry)
            entry.value = copy.deepcopy(value)
            self.values.touch(entry)
        self.model["values"][key] = value

    @precondition(lambda self: self.copies)
    @rule(key=keys)
    def change_value_in_place(self, key: Any) -> None:
        entry = self.values.find(key)
        if entry is not None and isinstance(entry.value, list):
            self.values.keep(entry)
            entry.value.append(0)
            self.values.touch(entry)
            self.model["values"][key] = [*self.model["values"][key], 0]

    @rule(key=keys)
    def remove_value(self, key: Any) -> None:
        entry = self.values.find(key)
        assert (entry is None) == (key not in self.model["values"])
        if entry is not None:
            self.values.remove(entry)
            del self.model["values"][key]

    @rule(key=keys, value=values)
    def append(self, key: Any, value: Any) -> None:
        self.lists.append(key, value)
        self.model["lists"][key] = [*self.model["lists"].get(key, []), value]

    @rule(key=keys, count=st.integers(0, 3))
    def evict(self, key: Any, count: int) -> None:
        entry = self.lists.find(key)
        if entry is not None:
            self.lists.evict(entry, count)
            self.model["lists"][key] = self.model["lists"][key][count:]

    @rule(key=keys, field=keys, value=values)
    def put(self, key: Any, field: Any, value: Any) -> None:
        self.maps.put(key, field, value)
        self.model["maps"][key] = {**self.model["maps"].get(key, {}), field: value}

    @rule(key=keys, fields=st.lists(keys, max_size=2))
    def drop(self, key: Any, fields: list[Any]) -> None:
        entry = self.maps.find(key)
        if entry is not None:
            self.maps.drop(entry, fields)
            mine = self.model["maps"][key]
            self.model["maps"][key] = {field: mine[field] for field in mine if field not in fields}

    @rule(key=keys, time=times, value=values)
    def insert(self, key: Any, time: int, value: Any) -> None:
        self.buffers.insert(key, time, value)
        mine = [*self.model["buffers"].get(key, []), (time, value)]
        self.model["buffers"][key] = sorted(mine, key=lambda pair: pair[0])

    @rule(key=keys, time=times)
    def evict_before(self, key: Any, time: int) -> None:
        entry = self.buffers.find(key)
        if entry is not None:
            self.buffers.evict_before(entry, time)
            self.model["buffers"][key] = [pair for pair in self.model["buffers"][key] if pair[0] >= time]

    @rule(kind=st.sampled_from(["lists", "maps", "buffers"]), key=keys)
    def remove(self, kind: str, key: Any) -> None:
        shelf = getattr(self, kind)
        entry = shelf.find(key)
        if entry is not None:
            shelf.remove(entry)
            del self.model[kind][key]

    # What becomes of a row, of a turn, of a life.

    @rule()
    def next_row(self) -> None:
        self.undo.begin()
        self.before_row = copy.deepcopy(self.model)

    @rule()
    def row_fails(self) -> None:
        try:
            self.undo.roll_back()
        except CannotTakeBack:
            self.die()  # to go on carefully
            return
        self.model = copy.deepcopy(self.before_row)

    @rule()
    def refused_in_the_middle_of_a_commit(self) -> None:
        """The row is taken back after its state was logged, and the commit is attempted again."""
        self.room.flush()
        self.row_fails()

    @rule(budget_s=st.sampled_from([0.0, 0.1, 0.2, 0.4, 10.0]))
    def commit(self, budget_s: float) -> None:
        self.steps(budget_s)
        self.numbers = self.room.flush()
        self.room.committed()
        self.committed = copy.deepcopy(self.model)
        self.next_row()

    @rule(flushes=st.booleans(), tail=st.integers(0, 40))
    def die(self, flushes: bool = False, tail: int = 0) -> None:
        """Of what was flushed without a record, any part may be in the file."""
        if flushes:
            self.room.flush()
        self.room.close()
        if self.numbers:
            number, length = segments_of(self.numbers)[-1]
            file = self.files.open(segment_path(BASE, number), os.O_RDWR)
            file.truncate(min(file.size, length + tail))
        self.model = copy.deepcopy(self.committed)
        self.before_row = copy.deepcopy(self.model)
        self._open()

    @rule()
    def look_at_all(self) -> None:
        assert {entry.key: entry.value for entry in self.values.all()} == self.model["values"]
        assert {entry.key: entry.value for entry in self.lists.all()} == self.model["lists"]
        assert {entry.key: entry.value for entry in self.maps.all()} == self.model["maps"]
        found = {entry.key: list(zip(entry.times, entry.value)) for entry in self.buffers.all()}
        assert found == self.model["buffers"]

    @invariant()
    def every_file_that_the_record_names_is_there_as_far_as_it_counts(self) -> None:
        for number, length in segments_of(self.numbers) if self.numbers else ():
            assert self.files.open(segment_path(BASE, number), os.O_RDWR).size >= length

    def teardown(self) -> None:
        if hasattr(self, "room"):
            self.die()
            self.look_at_all()


class SmallSteps(Room):
    """The same, with a log that is always being written anew, a group or a few with each commit."""

    usual = rotation.TAIL_S, slot_state.BUDGET_S, slot_state._WARMING_S

    def steps(self, budget_s: float) -> None:
        rotation.TAIL_S = 0.0  # type: ignore[misc]
        slot_state.BUDGET_S = slot_state._WARMING_S = budget_s  # type: ignore[misc]

    def teardown(self) -> None:
        rotation.TAIL_S, slot_state.BUDGET_S, slot_state._WARMING_S = self.usual  # type: ignore[misc]
        super().teardown()


class Stored(Room):
    """The same over a store, in which entries soon are: two of a shelf may stay in memory."""

    caches: Mapping[str, int] = {"s": 1}

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-test-store"))
        self.folder.rmdir()

    def open_store(self, folder: Path, memory_bytes: int) -> Store:
        folder.mkdir(exist_ok=True)
        self.store = DictStore(folder)
        return self.store

    @rule(does=st.booleans())
    def dies_while_the_store_is_written(self, does: bool) -> None:
        """What the record says is committed; the store has its batch, or does not."""
        self.numbers = self.room.flush()
        self.store.dies = "after" if does else "before"
        with suppress(Killed):
            self.room.committed()
        self.committed = copy.deepcopy(self.model)
        self.die()

    @rule()
    def the_store_is_lost(self) -> None:
        """As after a restore from a checkpoint, which has the changelog only."""
        self.die()
        self.room.close()
        assert self.folder is not None
        shutil.rmtree(self.folder)
        self._open()

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder or "", ignore_errors=True)


class StoredInSmallSteps(Stored, SmallSteps):
    """The same, with a log that is always being written anew."""


TestRoom = Room.TestCase
TestRoom.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStored = Stored.TestCase
TestStored.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStoredInSmallSteps = StoredInSmallSteps.TestCase
TestStoredInSmallSteps.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestSmallSteps = SmallSteps.TestCase
TestSmallSteps.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_what_a_failed_row_took_out_is_logged_once_when_it_is_back() -> None:
    files = MemoryFiles()
    room = SlotState()
    shelf = room.stage("s").of("op").lists("l")
    room.open(BASE, [], files)
    entry = shelf.append("a", 1)
    room.stage("s").undo.begin()
    shelf.remove(entry)
    room.stage("s").undo.roll_back()
    numbers = room.flush()
    room.close()
    room = SlotState()
    shelf = room.stage("s").of("op").lists("l")
    room.open(BASE, numbers, files)
    assert [entry.value for entry in shelf.all()] == [[1]]


def test_a_list_that_was_removed_by_a_row_that_failed_is_written_anew_once() -> None:
    room = SmallSteps()
    room.begin(copies=False)
    room.append("a", 7)
    room.next_row()
    room.commit(0.0)
    room.remove("lists", "a")
    room.row_fails()
    room.commit(10.0)
    room.die()
    room.look_at_all()
