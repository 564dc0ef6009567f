"""Rows made of columns are of the class that their own stream says, wherever they are made."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa

import penstock as ps


class Left(msgspec.Struct):
    n: int


class Right(msgspec.Struct):
    m: int


def to_left(batch: pa.Table) -> pa.Table:
    return pa.table({"n": batch.column("value")})


def to_right(batch: pa.Table) -> pa.Table:
    return pa.table({"m": batch.column("value")})


def named(row: Left | Right) -> str:
    return f"L{row.n}" if isinstance(row, Left) else f"R{row.m}"


class FailsOnce:
    def __init__(self) -> None:
        self.failed: set[int] = set()

    def __call__(self, row: Left) -> str:
        if row.n not in self.failed:
            self.failed.add(row.n)
            raise ConnectionError("not yet")
        return f"{type(row).__name__}{row.n}"


def test_columns_of_two_streams_come_to_one_stage_as_rows_of_their_own_classes(tmp_path: Path) -> None:
    app = ps.Pipeline("merged")
    left = app.source(range(20), name="l").stage("left").map_batches(to_left, type=Left)
    right = app.source(range(20), name="r").stage("right").map_batches(to_right, type=Right)
    rows = list(left.merge(right).stage("name").map(named).results(run_dir=tmp_path / "run"))
    assert sorted(rows) == sorted([f"L{n}" for n in range(20)] + [f"R{n}" for n in range(20)])


def test_a_row_of_columns_is_of_its_class_when_it_is_tried_again(tmp_path: Path) -> None:
    """On its way to the next attempt it was a dict."""
    app = ps.Pipeline("again")
    stream = app.source(range(5)).stage("left").map_batches(to_left, type=Left)
    stream = stream.stage("call", retries=3, retry_delay="1ms").map(FailsOnce)
    assert sorted(stream.results(run_dir=tmp_path / "run")) == [f"Left{n}" for n in range(5)]


def test_a_row_of_columns_that_is_given_up_is_of_its_class_in_its_dead_letter(tmp_path: Path) -> None:
    app = ps.Pipeline("letters")
    stream = app.source(range(3)).stage("left").map_batches(to_left, type=Left)
    stream.stage("call", on_error=ps.dead_letter(give_up_after=None)).map(_refuses).sink(ps.discard())
    app.run(run_dir=tmp_path / "run", state_dir=tmp_path / "state", progress=False)
    letters = list(ps.read_dead_letters("letters", state_dir=tmp_path / "state"))
    assert sorted(letter.row.n for letter in letters) == [0, 1, 2]


def _refuses(row: Left) -> str:
    raise ValueError("never")

