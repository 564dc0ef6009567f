"""Codecs: what comes out of a queue is what went in, whatever annotations promised; or it is told row by row."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.channel.codec import Codec, Decoded, RowCodec, join_payloads


class Inner(msgspec.Struct):
    name: str
    tags: list[str] = []


class Click(msgspec.Struct):
    number: int
    user: str | None
    inner: Inner
    scores: dict[str, float]
    spent: Decimal
    day: date
    took: timedelta
    uid: UUID
    at: datetime | None = None
    pair: tuple[int, str] = (0, "")
    kinds: set[int] = set()


class A(msgspec.Struct, tag="a"):
    x: int


class B(msgspec.Struct, tag="b"):
    y: str
    next: A | B | None = None


class Plain(msgspec.Struct):
    x: int


class Base(msgspec.Struct):
    x: int


class Sub(Base):
    more: str = "more"


class Holder(msgspec.Struct):
    base: Base


class Stamp(msgspec.Struct):
    at: datetime


class Deep(msgspec.Struct):
    stamps: list[Stamp]


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Slotted:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


int64 = st.integers(-(2**63), 2**64 - 1)
texts = st.text(max_size=8)
inners = st.builds(Inner, texts, st.lists(texts, max_size=3))
moments = st.one_of(st.none(), st.datetimes(), st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("Asia/Tokyo")])))
clicks = st.builds(
    Click, int64, st.none() | texts, inners, st.dictionaries(texts, st.floats(allow_nan=False), max_size=3),
    st.decimals(allow_nan=False), st.dates(), st.timedeltas(), st.uuids(), moments,
    st.tuples(int64, texts), st.sets(int64, max_size=3),
)
tagged = st.one_of(st.builds(A, int64), st.builds(B, texts, st.none() | st.builds(A, int64)))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(allow_nan=False), texts, st.binary(max_size=5)
)
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
anything = st.one_of(
    plain, clicks, tagged, st.builds(Sub, int64, texts), st.builds(Point, int64, st.floats(allow_nan=False)),
    st.builds(Slotted, int64), st.tuples(texts, int64), st.frozensets(texts, max_size=2),
    st.complex_numbers(allow_nan=False), st.dictionaries(st.integers() | texts, texts, max_size=2),
)
promises: st.SearchStrategy[Any] = st.sampled_from(
    [Any, int, str, int | None, dict[str, int], dict[str, Any], list[int], list[dict[str, str]], Click, A | B, Plain,
     Base, Sub, Holder, Point, Slotted, tuple[str, int], dict]
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all through."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(map(type, left)) == list(map(type, right)) and left.keys() == right.keys() and all(
            same(left[key], right[key]) for key in left
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, msgspec.Struct):
        return all(same(getattr(left, f), getattr(right, f)) for f in left.__struct_fields__)
    if isinstance(left, datetime):
        return bool(left.isoformat() == right.isoformat())
    return bool(left == right)


def through(row_type: Any, batch: Any) -> tuple[Codec, Decoded]:
    codec, payload = RowCodec(row_type).encode(batch)
    return codec, RowCodec(row_type).decode(int(codec), bytes(payload))


@given(st.lists(clicks, max_size=4))
def test_rows_of_the_promised_class_come_back(rows: list[Click]) -> None:
    codec, decoded = through(Click, rows)
    assert same(decoded.batch, rows)
    elsewhere = any(row.at is not None and row.at.tzinfo not in (None, UTC) for row in rows)
    assert codec is (Codec.PICKLE if elsewhere else Codec.TYPED)


@given(st.lists(tagged, max_size=4))
def test_rows_of_a_tagged_union_come_back(rows: list[A | B]) -> None:
    codec, decoded = through(A | B, rows)
    assert codec is Codec.TYPED
    assert same(decoded.batch, rows)


@given(promises, st.lists(anything, max_size=5))
def test_rows_come_back_whatever_the_annotation_promised(annotation: Any, rows: list[Any]) -> None:
    _, decoded = through(annotation, rows)
    assert not decoded.failures
    assert same(decoded.batch, rows)


@given(st.lists(scalars, max_size=5))
def test_scalars_need_no_annotation_to_travel_as_msgpack(rows: list[Any]) -> None:
    codec, decoded = through(Any, rows)
    assert same(decoded.batch, rows)
    oversized = any(isinstance(row, int) and not -(2**63) <= row < 2**64 for row in rows)
    assert codec is (Codec.PICKLE if oversized else Codec.PLAIN)


def test_special_floats_come_back() -> None:
    _, decoded = through(float, [math.nan, math.inf, -math.inf, -0.0])
    assert [repr(row) for row in decoded.batch] == ["nan", "inf", "-inf", "-0.0"]


def test_a_subclass_keeps_the_fields_that_the_annotation_does_not_know() -> None:
    codec, decoded = through(Base, [Base(1), Sub(2, "kept")])
    assert codec is Codec.PICKLE
    assert same(decoded.batch, [Base(1), Sub(2, "kept")])


def test_a_subclass_in_a_field_keeps_its_fields_too() -> None:
    _, decoded = through(Holder, [Holder(Sub(2, "kept"))])
    assert same(decoded.batch, [Holder(Sub(2, "kept"))])


@pytest.mark.parametrize("row", [Stamp(datetime(2024, 1, 1, 10, tzinfo=timezone(timedelta(hours=2))))])
@pytest.mark.parametrize("row_type", [Stamp, Deep])
def test_a_moment_keeps_its_time_zone(row: Stamp, row_type: type) -> None:
    rows = [row] if row_type is Stamp else [Deep([row])]
    _, decoded = through(row_type, rows)
    assert same(decoded.batch, rows)


def test_text_that_is_no_unicode_comes_back() -> None:
    _, decoded = through(str, ["a\ud800"])
    assert decoded.batch == ["a\ud800"]


def test_a_row_whose_fields_break_their_promise_is_told_and_the_others_come_through() -> None:
    rows = [Plain(1), Plain("two"), Plain(3)]  # type: ignore[arg-type]
    _, decoded = through(Plain, rows)
    assert [row for index, row in enumerate(decoded.batch) if index not in decoded.failures] == [Plain(1), Plain(3)]
    assert len(decoded.batch) == 3
    ((index, (came, why)),) = decoded.failures.items()
    assert (index, came) == (1, {"x": "two"})
    assert "Plain" in why
    assert "int" in why


@given(st.binary(max_size=60), st.integers(0, 2**63))
def test_blocks_of_lines_come_back(data: bytes, first: int) -> None:
    codec, decoded = through(Any, Lines(data, first))
    assert codec is Codec.LINES
    assert decoded.batch == Lines(data, first)


def test_columns_come_back_and_belong_to_nobody_else() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"x": [1, 2, None], "s": ["a", None, "c"], "n": [[1], [], None]})
    codec, payload = RowCodec().encode(table)
    buffer = bytearray(payload)
    decoded = RowCodec().decode(int(codec), bytes(buffer))
    buffer[:] = bytes(len(buffer))  # the writer is a lap further
    assert codec is Codec.ARROW
    assert decoded.batch.equals(table)


def test_sliced_and_foreign_columns_come_back() -> None:
    pa = pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    table = pa.table({"x": list(range(10))})
    assert through(Any, table.slice(3, 2))[1].batch.to_pydict() == {"x": [3, 4]}
    assert through(Any, table.slice(3, 2).to_batches()[0])[1].batch.to_pydict() == {"x": [3, 4]}
    assert through(Any, polars.DataFrame({"x": [1, 2]}))[1].batch.to_pydict() == {"x": [1, 2]}


@given(st.lists(st.lists(tagged | texts, max_size=3), min_size=1, max_size=4))
def test_joined_payloads_come_back_as_one(batches: list[list[Any]]) -> None:
    codec = RowCodec(A | B)
    kind, payload = join_payloads([codec.encode(batch) for batch in batches])
    assert same(codec.decode(int(kind), payload).batch, [row for batch in batches for row in batch])


def test_rows_that_failed_are_named_by_their_place_in_what_was_joined() -> None:
    codec = RowCodec(Plain)
    parts = [codec.encode([Plain(1), Plain(2)]), codec.encode([Plain("x"), Plain(4)])]  # type: ignore[arg-type]
    kind, payload = join_payloads(parts)
    decoded = codec.decode(int(kind), payload)
    assert list(decoded.failures) == [2]
    assert (decoded.batch[0], decoded.batch[1], decoded.batch[3]) == (Plain(1), Plain(2), Plain(4))


def test_payloads_of_several_shapes_are_joined_as_rows() -> None:
    pa = pytest.importorskip("pyarrow")
    codec = RowCodec()
    parts = [codec.encode(batch) for batch in (["a"], Lines(b"b\nc\n", 1), pa.table({"x": [1]}), pa.table({"y": [2]}))]
    kind, payload = join_payloads(parts)
    assert codec.decode(int(kind), payload).batch == ["a", "b", "c", {"x": 1}, {"y": 2}]


def test_joined_columns_stay_columns() -> None:
    pa = pytest.importorskip("pyarrow")
    codec = RowCodec()
    kind, payload = join_payloads([codec.encode(pa.table({"x": [n]})) for n in range(3)])
    assert codec.decode(int(kind), payload).batch.to_pydict() == {"x": [0, 1, 2]}


def test_a_codec_that_nobody_knows_is_told() -> None:
    with pytest.raises(ValueError, match="unknown codec 99"):
        RowCodec().decode(99, b"")
