"""Splits of a source in one slot: every row once, over any schedule of batches, commits and deaths."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.operator import Context
from penstock.slot.batches import as_row_list
from penstock.slot.record import PartRecord
from penstock.slot.source_input import SourceInput
from penstock.source import EndOfSplit, Reader, Source

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


FIRST = msgspec.msgpack.encode(PartRecord())


def make(source: Scripted, journal: bytes, gather_rows: int = 0) -> SourceInput:
    splits = source.splits()
    inputs = SourceInput(source, dict(splits), frozenset(splits), CONTEXT, "run", gather_rows=gather_rows)
    inputs.restore(msgspec.msgpack.decode(journal, type=PartRecord))
    return inputs


def committed(inputs: SourceInput) -> bytes:
    """What a successor finds in the journal."""
    record = PartRecord()
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
        taken = [unit for _ in range(ahead) if (unit := inputs.take()) is not None]
        while taken:
            unit = taken[0]
            stop = min(unit.done + random.randint(1, 4), unit.length)
            rows = as_row_list(unit.batch)[unit.done : stop]
            for index, row in enumerate(rows, unit.done):
                # The idempotency key of a row is the same in every life, and no other row's.
                key = f"{unit.key}/{unit.first_row + index}"
                assert names.setdefault(key, row) == row
            seen += rows
            unit.done = stop
            inputs.progress(unit)
            if unit.left == 0:
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


def test_a_split_that_is_through_is_closed_and_never_opened_again() -> None:
    source = Scripted(Random(0), {"one": ["a", "b"]})
    inputs = make(source, FIRST)
    while (unit := inputs.take()) is not None:
        unit.done = unit.length
        inputs.progress(unit)
    assert inputs.ended
    assert source.closed == [2]
    assert not inputs.cut_short
    assert make(source, committed(inputs)).ended


def test_a_source_that_was_stopped_has_ended_and_knows_that_it_was_cut_short() -> None:
    inputs = make(Scripted(Random(0), {"one": ["a", "b"]}), FIRST)
    assert not inputs.ended
    inputs.stop()
    assert inputs.ended
    assert inputs.cut_short
