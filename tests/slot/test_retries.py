"""Waiting retries under any schedule of waiting, trying, committing and dying: no row lost, none twice."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.errors import QueueDamaged
from penstock.slot.records import retries as retries_module
from penstock.slot.records.retries import RetryFile, WaitingRow


def wait(retries: RetryFile, row: object, due_s: float = 0.0, stage: int = 0) -> None:
    retries.add(stage=stage, due_s=due_s, attempts=1, row=pickle.dumps(row), key=f"key of {row!r:.20}", ingest_ns=5)


def take_all(retries: RetryFile, now_s: float = 1e9) -> list[WaitingRow]:
    found = []
    while (row := retries.take_due(now_s)) is not None:
        found.append(row)
    return found


class Schedules(RuleBasedStateMachine):
    """The rows that wait by the model, and by the model of what was last committed."""

    @initialize()
    def make(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.base = Path(self.folder.name) / "retries"
        self.patch = mock.patch.object(retries_module, "_COMPACT_BYTES", 300)
        self.patch.start()
        self.committed: list[int] = []
        self.waiting: dict[str, float] = {}
        self.committed_waiting: dict[str, float] = {}
        self.names = 0
        self.now = 0.0
        self.number_of: dict[int, str] = {}
        self.retries = RetryFile(self.base, self.committed)

    @rule(delay=st.sampled_from([0.0, 0.0, 1.0, 10.0]), length=st.integers(0, 200))
    def let_a_row_wait(self, delay: float, length: int) -> None:
        self.names += 1
        name = f"{self.names}".ljust(length, ".")
        wait(self.retries, name, self.now + delay)
        self.waiting[name] = self.now + delay

    @rule(seconds=st.floats(0, 5), again=st.booleans())
    def try_a_row(self, seconds: float, again: bool) -> None:
        self.now += seconds
        self.commit()
        row = self.retries.take_due(self.now)
        due = {name for name, due_s in self.waiting.items() if due_s <= self.now}
        if row is None:
            assert not due
            return
        name = row.load()
        assert name in due
        assert self.waiting[name] == min(self.waiting.values())
        # A number that was in work may be blamed for ever after.
        assert self.number_of.setdefault(row.number, name) == name
        self.retries.through(row.number)
        del self.waiting[name]
        if again:
            self.let_a_row_wait(1.0, 50)

    @rule()
    def commit(self) -> None:
        self.committed = self.retries.flush()
        self.committed_waiting = dict(self.waiting)

    @rule(flushed=st.booleans())
    def die(self, flushed: bool) -> None:
        if flushed:
            self.retries.flush()  # written, but the journal was not flipped any more
        self.retries.close()
        self.retries = RetryFile(self.base, self.committed)
        self.waiting = dict(self.committed_waiting)
        rows = {row.load(): row.due_s for row in self.retries._waiting.values()}
        assert rows == self.waiting
        assert len(list(self.base.parent.iterdir())) == 1

    @invariant()
    def it_knows_what_waits(self) -> None:
        if hasattr(self, "retries"):
            assert len(self.retries) == len(self.waiting)
            assert self.retries.next_due_s() == (min(self.waiting.values()) if self.waiting else None)
            assert self.retries.waits(0) == bool(self.waiting)
            assert not self.retries.waits(1)

    def teardown(self) -> None:
        if hasattr(self, "retries"):
            self.retries.close()
            self.patch.stop()
            self.folder.cleanup()


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(max_examples=120, stateful_step_count=40)


@pytest.fixture
def retries(tmp_path: Path) -> Iterator[RetryFile]:
    retries = RetryFile(tmp_path / "retries")
    yield retries
    retries.close()


def test_rows_come_in_the_order_in_which_they_are_due(retries: RetryFile) -> None:
    for due_s in (3.0, 1.0, 2.0):
        wait(retries, due_s, due_s)
    assert [row.load() for row in take_all(retries, 2.5)] == [1.0, 2.0]
    assert retries.next_due_s() == 3.0


def test_a_row_keeps_its_key_attempts_and_age_over_a_restart(retries: RetryFile, tmp_path: Path) -> None:
    retries.add(stage=2, due_s=1.5, attempts=3, row=pickle.dumps({"a": (1, 2)}), key="run/queue/7/1", ingest_ns=99)
    successor = RetryFile(tmp_path / "retries", retries.flush())
    (row,) = take_all(successor)
    assert row.load() == {"a": (1, 2)}
    assert (row.stage, row.due_s, row.attempts, row.key, row.ingest_ns) == (2, 1.5, 3, "run/queue/7/1", 99)
    successor.close()


def test_the_file_shrinks_to_nothing_when_no_row_waits(retries: RetryFile) -> None:
    wait(retries, "x")
    assert retries.flush()[1] > 0
    (row,) = take_all(retries)
    retries.through(row.number)
    assert retries.flush()[1] == 0


def test_a_file_in_which_always_some_row_waits_stays_bounded(retries: RetryFile, tmp_path: Path) -> None:
    wait(retries, b"stays", 1e12)
    for _ in range(200):
        wait(retries, b"x" * 50_000)
        retries.flush()
        (row,) = take_all(retries)
        retries.through(row.number)
    assert retries.flush()[1] < 3 * 1024 * 1024
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4 * 1024 * 1024


def test_it_is_full_by_bytes_and_has_room_again_once_rows_are_done(retries: RetryFile) -> None:
    for _ in range(8):
        assert not retries.full
        wait(retries, b"x" * 1024 * 1024)
    assert retries.full
    retries.through(take_all(retries)[0].number)
    assert not retries.full


def test_a_flipped_bit_is_told(retries: RetryFile, tmp_path: Path) -> None:
    wait(retries, "first")
    wait(retries, "second")
    committed = retries.flush()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for bit in range(8 * committed[1]):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(QueueDamaged, match="waiting retries"):
            RetryFile(tmp_path / "retries", committed)
    path.write_bytes(whole)


def test_a_file_that_was_cut_is_told(retries: RetryFile, tmp_path: Path) -> None:
    wait(retries, "first")
    committed = retries.flush()
    (path,) = tmp_path.iterdir()
    length = committed[1]
    for size in (0, 1, length - 1):
        os.truncate(path, size)
        with pytest.raises(QueueDamaged, match=f"from {length} to {size}"):
            RetryFile(tmp_path / "retries", committed)


def test_a_row_that_cannot_be_pickled_leaves_nothing(retries: RetryFile) -> None:
    with pytest.raises((AttributeError, TypeError)):
        wait(retries, lambda: None)
    assert len(retries) == 0
    assert retries.flush()[1] == 0


def test_a_number_never_comes_again_in_later_lives(tmp_path: Path) -> None:
    """A row is blamed by its number for all lives to come: the next one to get it would be set aside unseen."""
    given, committed = set[int](), list[int]()
    for _ in range(20):
        retries = RetryFile(tmp_path / "retries", committed)
        wait(retries, "x")
        retries.flush()
        (row,) = take_all(retries)
        assert row.number not in given
        given.add(row.number)
        retries.through(row.number)
        committed = retries.flush()
        retries.close()
