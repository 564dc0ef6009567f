"""Rows that a sink refuses, when they are written or with their transaction: each is stored or told, and once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operator import Context
from penstock.sink import RowsRejected, Sink, TransactionalWriter, Writer
from penstock.slot.output.sink_output import SinkOutput, open_sink
from penstock.slot.process.stops import Trouble
from penstock.slot.records.record import Counts, Record, decode_record

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=0)


class Table(Sink[Any]):
    """Refuses rows when they are written, or when they are committed."""

    def __init__(
        self, at_write: Collection[int], at_commit: Collection[int], *, transactional: bool, buffers: bool = False
    ) -> None:
        """`at_commit`: in the transaction, or when a client that buffers them is flushed."""
        self.at_write, self.at_commit, self.buffers = set(at_write), set(at_commit), buffers
        self.open_rows: list[int] = []
        self.stored: list[int] = []
        self.record = b""
        self._transactional = transactional

    def writer(self, position: Any, context: Context) -> Writer[Any]:
        if self._transactional:
            return _Transactions(self)
        return _Buffers(self) if self.buffers else _Writes(self)


class _Writes(Writer[Any]):
    def __init__(self, table: Table) -> None:
        self.table = table

    def write(self, batch: Any) -> None:
        bad = {index: "when written" for index, row in enumerate(batch) if row in self.table.at_write}
        self.keep([row for index, row in enumerate(batch) if index not in bad])
        if bad:
            raise RowsRejected(bad)

    def keep(self, rows: list[int]) -> None:
        self.table.stored += rows

    def position(self) -> int:
        return len(self.table.stored)


class _Buffers(_Writes):
    """A client that sends in the background, and learns of refused rows later."""

    def keep(self, rows: list[int]) -> None:
        self.table.open_rows += rows

    def flush(self) -> None:
        table = self.table
        assert table.open_rows
        refused = {index: "when flushed" for index, row in enumerate(table.open_rows) if row in table.at_commit}
        table.stored += [row for row in table.open_rows if row not in table.at_commit]
        table.open_rows = []
        if refused:
            raise RowsRejected(refused)


class _Transactions(TransactionalWriter[Any]):
    def __init__(self, table: Table) -> None:
        self.table = table

    def write(self, batch: Any) -> None:
        bad = {index: "when written" for index, row in enumerate(batch) if row in self.table.at_write}
        self.table.open_rows += [row for index, row in enumerate(batch) if index not in bad]
        if bad:
            raise RowsRejected(bad)

    def commit(self, record: bytes) -> None:
        table = self.table
        refused = {index: "when committed" for index, row in enumerate(table.open_rows) if row in table.at_commit}
        rows, table.open_rows = table.open_rows, []
        if refused:
            # Some databases tell of one row at a time.
            raise RowsRejected(dict(list(refused.items())[:1]))
        table.stored, table.record = table.stored + rows, record

    def last_record(self) -> bytes | None:
        return self.table.record or None


numbers = st.integers(0, 30)
batches = st.lists(st.lists(numbers, max_size=6), max_size=6)
bad = st.sets(numbers, max_size=10)


@given(batches, bad, bad, st.booleans())
def test_each_row_is_stored_or_refused_and_the_count_says_how_many(
    batches: list[list[int]], at_write: set[int], at_commit: set[int], transactional: bool
) -> None:
    table = Table(at_write, at_commit if transactional else (), transactional=transactional)
    sink, counts = open_sink(table, None, CONTEXT), Counts()
    refused = sink.write(batches, counts)
    attempts = 0
    while more := sink.commit(Record(number=len(refused), run_id="run"), counts):
        refused += more
        attempts += 1
        assert attempts <= 60
    rows = [row for batch in batches for row in batch]
    good = [row for row in rows if row not in table.at_write and row not in table.at_commit]
    assert table.stored == good
    assert sorted(row for row, _ in refused) == sorted(row for row in rows if row not in good)
    assert counts.rows_out == len(good)
    if transactional:  # the record that is stored knows of all that was refused
        assert decode_record(table.record).number == len(refused)


@given(st.lists(batches, max_size=3), bad, bad)
def test_what_a_client_has_buffered_is_flushed_before_each_commit_and_its_refused_rows_are_given_back(
    turns: list[list[list[int]]], at_write: set[int], at_flush: set[int]
) -> None:
    table = Table(at_write, at_flush, transactional=False, buffers=True)
    sink, counts, refused = open_sink(table, None, CONTEXT), Counts(), list[tuple[int, str]]()
    for turn in turns:
        refused += sink.write(turn, counts)
        while more := sink.prepare(counts):
            refused += more
        assert table.open_rows == []
        assert sink.position == len(table.stored) == counts.rows_out
    rows = [row for turn in turns for batch in turn for row in batch]
    assert table.stored == [row for row in rows if row not in at_write | at_flush]
    assert sorted(row for row, _ in refused) == sorted(row for row in rows if row in at_write | at_flush)


@given(batches)
def test_a_second_transaction_holds_nothing_of_the_first(batches: list[list[int]]) -> None:
    table = Table((), (), transactional=True)
    sink, counts = open_sink(table, None, CONTEXT), Counts()
    for batch in batches:
        assert sink.write([batch], counts) == []
        assert sink.commit(Record(run_id="run"), counts) == []
    table.at_commit = {99}
    assert sink.write([[99, 1]], counts) == []
    assert sink.commit(Record(run_id="run"), counts) == [(99, "when committed")]
    assert sink.commit(Record(run_id="run"), counts) == []
    assert table.stored == [row for batch in batches for row in batch] + [1]


def test_the_position_in_the_record_covers_what_was_written() -> None:
    table = Table((), (), transactional=False)
    sink = open_sink(table, 0, CONTEXT)
    sink.write([[1, 2], [3]], Counts())
    sink.prepare(Counts())
    assert sink.position == 3


def test_a_record_of_another_run_is_not_this_runs() -> None:
    table = Table((), (), transactional=True)
    sink = open_sink(table, None, CONTEXT)
    sink.commit(Record(number=7, run_id="one"), Counts())
    newer = sink.record_of("one", 0)
    assert newer is not None and newer.number == 7
    assert sink.record_of("another", 0) is None


def test_what_an_older_penstock_left_in_the_target_is_not_a_record_of_this_run() -> None:
    table = Table((), (), transactional=True)
    table.record = msgspec.msgpack.encode([7, 0, 0, 0, 0, "one", []])
    assert open_sink(table, None, CONTEXT).record_of("one", 0) is None


class _NamesRow(Sink[Any]):
    """Refuses a row by a number of its own choice, where it is told to."""

    def __init__(self, index: Any, place: str) -> None:
        self.index, self.place = index, place

    def writer(self, position: Any, context: Context) -> Writer[Any]:
        kinds = {"write": _RefusesAtWrite, "flush": _RefusesAtFlush, "commit": _RefusesAtCommit}
        return kinds[self.place](self.index)


class _RefusesAtWrite(Writer[Any]):
    def __init__(self, index: Any) -> None:
        self.index = index

    def write(self, batch: Any) -> None:
        raise RowsRejected({self.index: "refused"})


class _RefusesAtFlush(_RefusesAtWrite):
    def write(self, batch: Any) -> None:
        pass

    def flush(self) -> None:
        raise RowsRejected({self.index: "refused"})


class _RefusesAtCommit(TransactionalWriter[Any]):
    def __init__(self, index: Any) -> None:
        self.index = index

    def write(self, batch: Any) -> None:
        pass

    def commit(self, record: bytes) -> None:
        raise RowsRejected({self.index: "refused"})

    def last_record(self) -> None:
        return None


@pytest.mark.parametrize("index", [-1, 5, 3.0, "3", None])
@pytest.mark.parametrize("place", ["write", "flush", "commit"])
def test_a_refused_row_that_was_not_written_is_a_mistake_of_the_sink(place: str, index: Any) -> None:
    """Which row it means nobody knows, so none may count as stored."""
    sink, counts = open_sink(_NamesRow(index, place), None, CONTEXT), Counts()
    with pytest.raises(Trouble, match=place) as told:
        _write_and_commit(sink, [list(range(5))], counts)
    assert str(told.value.error) == f"RowsRejected names row {index!r} of 5; rows count from 0"


def _write_and_commit(sink: SinkOutput, batches: list[list[int]], counts: Counts) -> None:
    sink.write(batches, counts)
    sink.prepare(counts)
    sink.commit(Record(run_id="run"), counts)
