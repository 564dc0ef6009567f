"""Rows that end the worker when they are made, and rows changed in place, in stages of coroutines and of batches."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pytest

import penstock as ps
from penstock.testing import ListSink

BAD = 37
FAILS = (36, 38, 90)
ROWS = range(120)
SMALL = ps.Edge(batch_rows=20)


class Deadly:
    """One of them ends the process when it is brought back from its pickle."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.n == BAD:
            os._exit(3)


class Strict(msgspec.Struct):
    """One of them ends the process when it is made of columns."""

    n: int

    def __post_init__(self) -> None:
        if self.n == BAD:
            os._exit(3)


def _work(row: Any) -> int:
    if row.n in FAILS:
        raise KeyError(row.n)
    return int(row.n)


async def _awaits(row: Any) -> int:
    return _work(row)


def _many(rows: list[Any]) -> list[int]:
    return [_work(row) for row in rows]


def _strict(numbers: pa.Table) -> pa.Table:
    return pa.table({"n": numbers.column(0)})


CALLS: dict[str, Callable[[ps.Stream[Any]], ps.Stream[Any]]] = {
    "plain": lambda s: s.map(_work),
    "async": lambda s: s.map(_awaits),
    "many": lambda s: s.map_many(_many, rows=64, wait="20ms"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "once": {}, "ordered": {"ordered": True}, "retries": {"retries": 1, "retry_delay": "1ms"},
    "ordered retries": {"ordered": True, "retries": 1, "retry_delay": "1ms"},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("made", ["decoded", "of columns"])
def test_a_row_that_ends_its_worker_when_it_is_made_is_set_aside_and_those_that_fail_beside_it_say_why(
    where: Any, made: str, call: str, options: str
) -> None:
    app, out = ps.Pipeline("made"), ListSink[int]()
    if made == "decoded":
        stream: ps.Stream[Any] = app.source(ROWS, name="read").map(Deadly)
    else:
        stream = app.source(ROWS, name="read").map_batches(_strict, type=Strict)
    CALLS[call](stream.stage("work", edge=SMALL, **OPTIONS[options])).sink(out, name="out")
    report = app.run(**where)
    assert sorted(out.rows) == [n for n in ROWS if n != BAD and n not in FAILS]
    letters = list(ps.read_dead_letters("made", state_dir=where["state_dir"]))
    told = sorted(letter.error for letter in letters)
    assert [error for error in told if "KeyError" in error] == [f"KeyError: {n}" for n in FAILS]
    [killed] = [error for error in told if "KeyError" not in error]
    assert "killed its worker" in killed
    assert report.dead_letters == len(letters) == 4
    assert report.stages["work"].restarts <= 4


class ChangesAndFails:
    """Changes a row in place, and fails the first time."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def work(self, row: dict[str, int]) -> dict[str, int]:
        n, row["n"] = row["n"], row["n"] + 1000
        if n % 5 == 2 and n not in self.seen:
            self.seen.add(n)
            raise KeyError(n)
        if n % 5 == 4:
            raise ValueError("never")
        return row


class ChangesPlainly(ChangesAndFails):
    def __call__(self, row: dict[str, int]) -> dict[str, int]:
        return self.work(row)


class ChangesAsync(ChangesAndFails):
    async def __call__(self, row: dict[str, int]) -> dict[str, int]:
        return self.work(row)


class ChangesMany(ChangesAndFails):
    def __call__(self, rows: list[dict[str, int]]) -> list[dict[str, int]]:
        return [self.work(row) for row in rows]


CHANGES: dict[str, Callable[[ps.Stream[Any]], ps.Stream[Any]]] = {
    "plain": lambda s: s.map(ChangesPlainly),
    "async": lambda s: s.map(ChangesAsync),
    "many": lambda s: s.map_many(ChangesMany, rows=64, wait="20ms"),
}


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("call", CHANGES)
def test_rows_of_columns_are_tried_again_and_set_aside_as_they_came(where: Any, call: str, ordered: bool) -> None:
    app, out = ps.Pipeline("changes"), ListSink[dict[str, int]]()
    stream = app.source(ROWS, name="read").map_batches(_strict)
    stage = stream.stage("work", edge=SMALL, retries=1, retry_delay="1ms", ordered=ordered)
    CHANGES[call](stage).sink(out, name="out")
    app.run(**where)
    assert sorted(row["n"] for row in out.rows) == [n + 1000 for n in ROWS if n % 5 != 4]
    letters = ps.read_dead_letters("changes", state_dir=where["state_dir"])
    assert sorted(letter.row["n"] for letter in letters) == [n for n in ROWS if n % 5 == 4]


class FailsAtFirst:
    """Takes columns, of which Python has no row, and fails for each the first time."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def __call__(self, table: pa.Table) -> pa.Table:
        for n in table.column("n").to_pylist():
            if n % 5 == 2 and n not in self.seen:
                if table.num_rows == 1:  # it is looked for among the others first
                    self.seen.add(n)
                raise KeyError(n)
        return pa.table({"n": table.column("n"), "kind": [str(table.schema.field("at").type)] * table.num_rows})


def _late(numbers: pa.Table) -> pa.Table:
    values = numbers.column(0).to_pylist()
    at = pa.array([10**18 if n == BAD else n for n in values], pa.timestamp("us"))
    return pa.table({"n": pa.array(values, pa.int16()), "at": at})


@pytest.mark.parametrize("ordered", [True, False])
def test_columns_of_which_no_row_can_be_made_are_tried_again_as_they_are_or_set_aside(
    where: Any, ordered: bool
) -> None:
    app, out = ps.Pipeline("late"), ListSink[dict[str, Any]]()
    stream = app.source(ROWS, name="read").map_batches(_late)
    stage = stream.stage("work", edge=SMALL, retries=1, retry_delay="1ms", ordered=ordered)
    stage.map_batches(FailsAtFirst).sink(out, name="out")
    app.run(**where)
    given = {row["n"]: row["kind"] for row in out.rows}
    letters = list(ps.read_dead_letters("late", state_dir=where["state_dir"]))
    if ordered:
        assert sorted(given) == list(ROWS) and not letters
    else:
        assert sorted(given) == [n for n in ROWS if n != BAD]
        [letter] = letters
        assert letter.row["n"] == BAD
        assert f"KeyError: {BAD}; it cannot be retried later: column 'at'" in letter.error
    assert {kind for n, kind in given.items()} == {"timestamp[us]"}
