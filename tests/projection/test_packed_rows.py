"""Rows that are not decoded: cut, picked and joined they are the rows that came, each whole."""

from __future__ import annotations

import gc
import sys
from typing import Any

import msgspec
import pytest
from drawn_functions import Row, rows
from hypothesis import given
from hypothesis import strategies as st

from penstock.channel.codec import Codec, RowCodec
from penstock.channel.packed_rows import PackedRows
from penstock.channel.router import Router
from penstock.plan.plan import Route
from penstock.plan.projection import Projection

WHOLE = RowCodec(Row)
FIELDS = st.sampled_from([(), ("a",), ("b", "c"), ("a", "b", "c", "d")])


def packed(given: list[Row], names: tuple[str, ...] = ("a",)) -> PackedRows:
    codec, data = WHOLE.encode(given)
    assert codec is Codec.TYPED
    batch = RowCodec(Row, Projection(Row, names, True)).decode(codec, data, len(given)).batch
    assert isinstance(batch, PackedRows)
    return batch


def sent_on(batch: PackedRows) -> list[Row]:
    """As the next stage gets it."""
    codec, data = WHOLE.encode(batch)
    assert codec is Codec.TYPED
    made: list[Row] = WHOLE.decode(codec, data).batch
    return made


@given(st.lists(rows(), max_size=8), FIELDS, st.data())
def test_a_block_is_the_rows_that_came(given: list[Row], names: tuple[str, ...], data: st.DataObject) -> None:
    batch, length = packed(given, names), len(given)
    start = data.draw(st.integers(0, length))
    stop = data.draw(st.integers(start, length))
    picked = data.draw(st.lists(st.sampled_from(range(length)), unique=True).map(sorted) if length else st.just([]))
    blocks = [
        (batch, given),
        (batch.slice(start, stop), given[start:stop]),
        (batch.pick(picked), [given[index] for index in picked]),
        (batch.slice(0, start).join([batch.slice(start, stop), batch.slice(stop, length)]), given),
    ]
    for block, expected in blocks:
        assert block is not None
        assert block.count == len(expected)
        assert block.rows() == sent_on(block) == expected == [block.row(index) for index in range(block.count)]
        assert [row for part in block.parts(3) for row in part.rows()] == expected
        values = [tuple(getattr(row, name) for name in names) for row in expected]
        assert [tuple(getattr(seen, name) for name in names) for seen in block.seen] == values


@given(st.lists(rows(), max_size=8), st.data())
def test_rows_that_a_filter_keeps_are_told_by_what_it_was_given(given: list[Row], data: st.DataObject) -> None:
    batch = packed(given, ())
    kept = data.draw(st.lists(st.booleans(), min_size=len(given), max_size=len(given)))
    seen = [row for row, keep in zip(batch.seen, kept, strict=True) if keep]
    assert batch.kept(seen).rows() == [row for row, keep in zip(given, kept, strict=True) if keep]


def test_a_frame_that_is_passed_on_whole_is_not_touched() -> None:
    codec, data = WHOLE.encode([Row(1, "x"), Row(2, "y")])
    batch = RowCodec(Row, Projection(Row, ("a",), True)).decode(codec, data, 2).batch
    assert WHOLE.encode(batch)[1] is data


def test_a_few_rows_do_not_keep_the_whole_frame_in_memory() -> None:
    _, data = WHOLE.encode([Row(number, "x" * 100) for number in range(100)])
    held = sys.getrefcount(data)
    batch = RowCodec(Row, Projection(Row, ("a",), True)).decode(Codec.TYPED, data, 100).batch
    few = batch.pick([3, 5])
    assert sys.getrefcount(data) > held
    del batch
    gc.collect()
    assert sys.getrefcount(data) == held
    assert few.rows() == [Row(3, "x" * 100), Row(5, "x" * 100)]


@given(st.lists(rows(), max_size=8))
def test_rows_go_by_their_key_as_whole_rows_do(given: list[Row]) -> None:
    table = [group % 3 for group in range(256)]
    whole, _ = Router(Route.HASH, 3, "a", table).split(given, list, 0)
    parts, failures = Router(Route.HASH, 3, "a", table).split(packed(given), list, 0)
    assert not failures
    assert {slot: part.rows() for slot, part in parts} == dict(whole)


def test_a_row_without_a_key_is_told_whole() -> None:
    router = Router(Route.HASH, 1, lambda row: [row.a], [0] * 256)
    parts, failures = router.split(packed([Row(1, "x")]), list, 0)
    assert not parts
    assert [failure.row for failure in failures] == [Row(1, "x")]


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True, tag=True):
    some_number: int
    some_text: str = "none"
    made: list[int] = []


@given(st.integers(), st.sampled_from(["none", "other"]))
def test_names_on_the_wire_tags_and_left_out_defaults_are_as_the_class_says(number: int, text: str) -> None:
    number %= 2**60
    codec, data = RowCodec(Renamed).encode([Renamed(number, text, [1])])
    batch = RowCodec(Renamed, Projection(Renamed, ("some_number", "some_text"), True)).decode(codec, data, 1).batch
    assert [(seen.some_number, seen.some_text) for seen in batch.seen] == [(number, text)]
    assert batch.rows() == [Renamed(number, text, [1])]


class Before(msgspec.Struct):
    a: Any
    b: Any


class After(msgspec.Struct):
    a: int
    b: int


def test_rows_that_fit_no_longer_what_is_read_are_told_one_by_one() -> None:
    data = msgspec.msgpack.encode([Before(1, 2), Before("x", 3)])
    decoded = RowCodec(After, Projection(After, ("a",), True)).decode(Codec.TYPED, data, 2)
    assert decoded.batch == [After(1, 2), None]
    assert list(decoded.failures) == [1]


def test_a_row_that_fits_no_longer_elsewhere_is_shown_as_what_it_has() -> None:
    data = msgspec.msgpack.encode([Before(1, "x")])
    batch = RowCodec(After, Projection(After, ("a",), True)).decode(Codec.TYPED, data, 1).batch
    assert batch.row(0) == {"a": 1, "b": "x"}
    with pytest.raises(msgspec.ValidationError):
        batch.rows()
