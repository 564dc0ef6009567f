"""Splits of a source in one slot: every row once, over any schedule of batches, commits and deaths."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.operator import Context
from penstock.slot.input.batches import as_row_list
from penstock.slot.input.source_input import SourceInput
from penstock.slot.input.split_input import Reading, checked
from penstock.slot.input.wake import Wake
from penstock.slot.records.record import StageRecord
from penstock.slot.time_and_chance import MACHINE
from penstock.source import EndOfSplit, Reader, Rejected, Source, WithRejected

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


class Cuts(Reader[str]):
    """Gives rows in batches of any size; another life gets other batches, some of them empty, some as lines."""

    def __init__(self, random: Random, rows: list[str], at: int, closed: list[int]) -> None:
        self._random, self._rows, self._at, self._closed = random, rows, at, closed

    def read(self) -> Any:
        if self._at == len(self._rows):
            raise EndOfSplit
        rows = self._rows[self._at : self._at + self._random.randint(1, 5)]
        self._at += len(rows)
        return Lines("".join(f"{row}\n" for row in rows).encode(), 0) if self._random.random() < 0.3 else rows

    def position(self) -> int:
        return self._at

    def close(self) -> None:
        self._closed.append(self._at)


class Scripted(Source[str]):
    def __init__(self, random: Random, splits: Mapping[str, list[str]]) -> None:
        self.random, self._splits = random, splits
        self.closed: list[int] = []

    def splits(self) -> Mapping[str, Any]:
        return self._splits

    def open(self, split: Any, position: int | None, context: Context) -> Cuts:
        return Cuts(self.random, split, position or 0, self.closed)


FIRST = msgspec.msgpack.encode(StageRecord())


def make(source: Scripted, journal: bytes, gather_rows: int = 0) -> SourceInput:
    splits = source.splits()
    reading = Reading(source, CONTEXT, "run", MACHINE, gather_rows=gather_rows)
    inputs = SourceInput(reading, splits, frozenset(splits), Wake(lambda: None))
    inputs.restore(msgspec.msgpack.decode(journal, type=StageRecord))
    return inputs


def committed(inputs: SourceInput) -> bytes:
    """What a successor finds in the journal."""
    record = StageRecord()
    inputs.save(record)
    return msgspec.msgpack.encode(record)


@given(
    st.integers(0, 2**32), st.lists(st.integers(0, 30), min_size=1, max_size=4), st.sampled_from([0, 4, 12]),
    st.integers(1, 5),
)
def test_every_row_comes_once_whatever_the_batches_and_whenever_the_worker_dies(
    seed: int, lengths: list[int], gather_rows: int, ahead: int
) -> None:
    random = Random(seed)
    splits = {f"split-{n}": [f"{n}-{row}" for row in range(length)] for n, length in enumerate(lengths)}
    source = Scripted(random, splits)
    journal, done = FIRST, list[str]()
    inputs, seen = make(source, journal, gather_rows), list[str]()
    names: dict[str, str] = {}
    while not inputs.ended:
        # Up to `ahead` batches are taken before the oldest one is done.
        taken = [intake for _ in range(ahead) if (intake := inputs.take()) is not None]
        while taken:
            intake = taken[0]
            stop = min(intake.done + random.randint(1, 4), intake.length)
            rows = as_row_list(intake.batch)[intake.done : stop]
            for index, row in enumerate(rows, intake.done):
                # The idempotency key of a row is the same in every life, and no other row's.
                key = f"{intake.key}/{intake.first_row + index}"
                assert names.setdefault(key, row) == row
            seen += rows
            intake.done = stop
            inputs.progress(intake)
            if intake.left == 0:
                taken.pop(0)
            if random.random() < 0.5:
                journal, done = committed(inputs), list(seen)
            if random.random() < 0.2:
                inputs, seen = make(source, journal, gather_rows), list(done)
                taken = []
    assert sorted(seen) == sorted(row for rows in splits.values() for row in rows)
    for number in range(len(lengths)):
        mine = [row for row in seen if row.startswith(f"{number}-")]
        assert mine == splits[f"split-{number}"]


def test_a_split_that_is_done_is_closed_and_never_opened_again() -> None:
    source = Scripted(Random(0), {"one": ["a", "b"]})
    inputs = make(source, FIRST)
    while (intake := inputs.take()) is not None:
        intake.done = intake.length
        inputs.progress(intake)
    assert inputs.ended
    assert source.closed == [2]
    assert make(source, committed(inputs)).ended


def test_a_source_that_was_stopped_has_ended() -> None:
    inputs = make(Scripted(Random(0), {"one": ["a", "b"]}), FIRST)
    assert not inputs.ended
    inputs.stop()
    assert inputs.ended


class Deliveries(Scripted):
    """A broker: gives what was not acknowledged, in an order of its own for each consumer."""

    def __init__(self, random: Random, messages: list[str]) -> None:
        super().__init__(random, {"all": messages})
        self.left = list(messages)
        self.acknowledged: list[str] = []

    def open(self, split: Any, position: int | None, context: Context) -> Cuts:
        messages = [message for message in self.left if message not in self.acknowledged]
        self.random.shuffle(messages)
        return Consumer(self, messages)


class Consumer(Cuts):
    repeatable = False

    def __init__(self, broker: Deliveries, messages: list[str]) -> None:
        super().__init__(broker.random, messages, 0, broker.closed)
        self.broker = broker
        self.open = True

    def acknowledge(self, position: int) -> None:
        assert self.open
        self.broker.acknowledged += self._rows[:position]

    def close(self) -> None:
        super().close()
        self.open = False


@given(st.integers(0, 2**32), st.integers(0, 30), st.sampled_from([0, 4]), st.integers(1, 4))
def test_a_message_is_acknowledged_when_it_is_committed_and_not_before_and_all_are_in_the_end(
    seed: int, count: int, gather_rows: int, ahead: int
) -> None:
    random = Random(seed)
    broker = Deliveries(random, [f"message-{n}" for n in range(count)])
    journal, done, names = FIRST, list[str](), dict[tuple[str, int, int], str]()
    attempt, number, durable = 1, 0, 0

    def live() -> SourceInput:
        context = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=attempt)
        reading = Reading(broker, context, "run", MACHINE, gather_rows=gather_rows)
        inputs = SourceInput(reading, {"all": broker.left}, frozenset({"all"}), Wake(lambda: None))
        inputs.restore(msgspec.msgpack.decode(journal, type=StageRecord))
        return inputs

    inputs, seen = live(), list[str]()
    while True:
        taken = [intake for _ in range(ahead) if (intake := inputs.take()) is not None]
        while taken:
            intake = taken[0]
            stop = min(intake.done + random.randint(1, 4), intake.length)
            rows = as_row_list(intake.batch)[intake.done : stop]
            for index, row in enumerate(rows, intake.first_row + intake.done):
                # A name is that of one row, in all lives.
                assert names.setdefault((intake.key, intake.sequence, index), row) == row
            seen += rows
            intake.done = stop
            inputs.progress(intake)
            if intake.left == 0:
                taken.pop(0)
            if random.random() < 0.4:
                journal, done = committed(inputs), list(seen)
                number += 1
                inputs.committed(number)
                if random.random() < 0.8:
                    durable = random.choice((durable, number))
                    inputs.durable(durable)
                assert set(broker.acknowledged) <= set(done)
            if random.random() < 0.1:
                attempt += 1
                inputs, seen, taken = live(), list(done), []
        if inputs.ended:
            journal, done = committed(inputs), list(seen)
            inputs.committed(number + 1)
            inputs.durable(number + 1)
            break
    assert set(done) == set(broker.left)
    assert set(broker.acknowledged) <= set(done)
    assert inputs.awaits == 0


class Silent(Reader[str]):
    poll_after = "1h"

    def read(self) -> None:
        return None

    def position(self) -> int:
        return 0


class SilentSource(Source[str]):
    @property
    def bounded(self) -> bool:
        return False

    def open(self, split: Any, position: int | None, context: Context) -> Silent:
        return Silent()


def test_what_calls_wake_while_a_reader_is_asked_is_seen_before_the_next_sleep() -> None:
    rung: list[bool] = []
    wake = Wake(lambda: rung.append(wake.called))
    inputs = SourceInput(
        Reading(SilentSource(), CONTEXT, "run", MACHINE), {"all": None}, frozenset({"all"}), wake
    )
    assert inputs.take() is None
    assert not inputs.ready()
    wake()
    wake()
    assert rung == [True]  # rung once, and only after it can be seen
    assert inputs.ready()
    inputs.take()
    assert not inputs.ready()


@pytest.mark.parametrize("index", [-1, 2, 1.0, "1", None])
def test_an_item_that_is_neither_a_row_nor_in_its_batch_is_a_mistake_of_the_reader(index: Any) -> None:
    """Passed over, it would be lost: it is neither a row nor a dead letter."""
    with pytest.raises(ValueError, match=f"WithRejected names row {index!r} of 2; rows count from 0"):
        checked(WithRejected(["a", "b"], {index: Rejected("c", "no row")}), "split")
