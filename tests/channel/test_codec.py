"""Codecs: what comes out of a queue is what went in, whatever annotations promised; or it is told row by row."""

from __future__ import annotations

import array
import collections
import dataclasses
import enum
import functools
import math
import pathlib
import pickle
import types
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, SafeUUID, uuid1
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.channel.codec import Codec, Decoded, RowCodec, join_payloads
from penstock.channel.column_batch import ColumnBatch


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


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Kind(enum.Enum):
    A = "red"


class Access(enum.IntFlag):
    READ = 1
    WRITE = 2


class Number(int):
    pass


class Words(str):
    pass


class Items(list):  # type: ignore[type-arg]
    pass


class Day(date):
    pass


class Instant(datetime):
    pass


class Money(Decimal):
    pass


Pair = collections.namedtuple("Pair", "left right")


class Noting(msgspec.Struct):
    """Its `__post_init__` changes it each time."""

    x: Any

    def __post_init__(self) -> None:
        self.x = (self.x,)


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    x: int = 0
    made: list[int] = []

    def __post_init__(self) -> None:
        self.made.append(self.x)


class Annotated(msgspec.Struct, dict=True):
    x: int

    @functools.cached_property
    def double(self) -> int:
        return self.x * 2


class Registered(msgspec.Struct):
    """It wants to know of its subclasses."""

    x: int
    seen = 0

    def __init_subclass__(cls, **options: Any) -> None:
        Registered.seen += 1
        super().__init_subclass__(**options)


class Spare(msgspec.Struct, omit_defaults=True, array_like=True):
    x: float = 0.0
    tags: list[int] = []
    on: bool = True


class Everything(msgspec.Struct):
    """A field of each kind that msgpack is trusted with, whatever is put into it."""

    whole: int
    part: float
    yes: bool
    text: str
    raw: bytes
    day: date
    at: datetime
    took: timedelta
    spent: Decimal
    uid: UUID
    maybe: int | None
    number: int | float
    names: list[str]
    marks: set[int]
    fixed: tuple[int, str]
    many: tuple[float, ...]
    by_name: dict[str, float]
    by_number: dict[int, Plain]
    inner: Plain
    other: A | B | None


class Chain(msgspec.Struct):
    next: Chain | None = None


int64 = st.integers(-(2**63), 2**64 - 1)
texts = st.text(max_size=8)
inners = st.builds(Inner, texts, st.lists(texts, max_size=3))
zones = st.sampled_from(
    [UTC, ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York"), timezone(timedelta(0), "Z")]
)
moments = st.one_of(st.none(), st.datetimes(), st.datetimes(timezones=zones))
clicks = st.builds(
    Click, int64, st.none() | texts, inners, st.dictionaries(texts, st.floats(allow_nan=False), max_size=3),
    st.decimals(), st.dates(), st.timedeltas(), st.uuids(), moments,
    st.tuples(int64, texts), st.sets(int64, max_size=3),
)
tagged = st.one_of(st.builds(A, int64), st.builds(B, texts, st.none() | st.builds(A, int64)))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(), texts, st.binary(max_size=5)
)
odd = st.sampled_from([
    Color.RED, Level.LOW, Kind.A, Access.READ | Access.WRITE, Number(1), Words("red"), Items([1]), Day(2024, 1, 1),
    Instant(2024, 1, 1), Money("1.0"), Pair(1, "x"), collections.Counter("aab"), collections.defaultdict(int, a=1),
    collections.OrderedDict(a=1), collections.deque([1]), bytearray(b"raw"), array.array("b", [1]), range(3), 1 + 2j,
    time(1, 2), datetime(2024, 11, 3, 1, 30, fold=1), datetime(2024, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")),
    uuid1(), UUID(int=1, is_safe=SafeUUID.safe), Decimal("sNaN12"), Decimal("-0E+5"), -0.0, math.nan, 2**53 + 1, 1e300,
    "\ud800", frozenset({1}), (1, "x"), (1.0,), [Level.LOW], {"a": Color.RED}, {Color.RED: 1.0}, {1: Plain(1)},
    {True: 1}, {"a": 1}, {1: 2, 1.5: 3}, types.SimpleNamespace(x=1), pathlib.PurePath("a"), Plain(1), Plain(True),
    Sub(1), A(1), [], (), {}, set(), NotImplemented, int, math.sin,
])
fields = odd | scalars | clicks | moments
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
everything = st.builds(Everything, **dict.fromkeys(Everything.__struct_fields__, fields))


def an_everything() -> Everything:
    return Everything(
        1, 1.5, True, "text", b"raw", date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), timedelta(1), Decimal(1),
        UUID(int=1), None, 1, ["name"], {1}, (1, "x"), (1.5, 2.5), {"a": 1.0}, {1: Plain(1)}, Plain(1), None,
    )


def noting(x: Any) -> Noting:
    row = Noting(x)
    row.x = x
    return row


def annotated(x: int, note: Any) -> Annotated:
    row = Annotated(x)
    row.note = note  # type: ignore[attr-defined]
    return row


kept = st.one_of(
    st.builds(noting, scalars), st.builds(Frozen, x=int64), st.builds(annotated, int64, odd), everything,
    st.builds(Spare, st.sampled_from([0.0, -0.0, 0, 1.5]), st.lists(int64, max_size=2), st.sampled_from([True, 1])),
)
anything = st.one_of(
    plain, clicks, tagged, odd, kept, st.builds(Sub, int64, texts), st.builds(Point, int64, st.floats()),
    st.builds(Slotted, int64), st.tuples(texts, int64), st.frozensets(texts, max_size=2),
    st.complex_numbers(), st.dictionaries(st.integers() | texts, texts, max_size=2),
)
promises: st.SearchStrategy[Any] = st.sampled_from(
    [Any, int, str, float, int | None, dict[str, int], dict[str, Any], list[int], list[dict[str, str]], Click, A | B,
     Plain, Base, Sub, Holder, Point, Slotted, tuple[str, int], dict, Everything, Noting, Annotated, Frozen, Spare,
     Noting | Annotated, Color, Pair, Decimal, datetime, list[datetime]]
)


def same(left: Any, right: Any) -> bool:
    """Of the same types and values all through, as far as anything tells them apart."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (dict, collections.abc.ItemsView)):
        return list(map(type, left)) == list(map(type, right)) and len(left) == len(right) and all(
            same(*pair) for both in zip(left.items(), right.items()) for pair in zip(*both)
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (set, frozenset)):
        return sorted(map(repr, left)) == sorted(map(repr, right))
    if isinstance(left, msgspec.Struct):
        fields_are = all(same(getattr(left, f), getattr(right, f)) for f in left.__struct_fields__)
        return fields_are and same(getattr(left, "__dict__", None), getattr(right, "__dict__", None))
    if isinstance(left, datetime):
        return (left.isoformat(), repr(left.tzinfo), left.fold) == (right.isoformat(), repr(right.tzinfo), right.fold)
    if isinstance(left, UUID):
        return left == right and left.is_safe is right.is_safe
    if isinstance(left, (float, complex, Decimal)):
        return repr(left) == repr(right)
    if dataclasses.is_dataclass(left):
        return same(vars(left), vars(right))
    return bool(left == right)


def through(row_type: Any, batch: Any) -> tuple[Codec, Decoded]:
    codec, payload = RowCodec(row_type).encode(batch)
    return codec, RowCodec(row_type).decode(int(codec), bytes(payload))


@given(st.lists(clicks, max_size=4))
def test_rows_of_the_promised_class_come_back(rows: list[Click]) -> None:
    codec, decoded = through(Click, rows)
    assert same(decoded.batch, rows)
    times = [row.at for row in rows if row.at is not None]
    elsewhere = any(at.fold or (at.tzinfo is not None and at.tzinfo is not UTC) for at in times)
    assert codec is (Codec.PICKLE if elsewhere else Codec.TYPED)


def through_or_refused(row_type: Any, rows: list[Any]) -> None:
    """Rows come back as they were, or what pickle itself raises says that they cannot travel."""
    try:
        _, decoded = through(row_type, rows)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
        with pytest.raises((pickle.PicklingError, TypeError, AttributeError, RecursionError)):
            pickle.dumps(rows, 5)
        return
    assert not decoded.failures
    assert same(decoded.batch, rows)


@given(st.lists(everything, min_size=1, max_size=2))
def test_a_row_comes_back_whatever_is_in_its_fields(rows: list[Everything]) -> None:
    through_or_refused(Everything, rows)


@given(st.sampled_from(Everything.__struct_fields__), fields)
def test_one_value_that_is_not_what_its_field_says_comes_back_too(name: str, value: Any) -> None:
    row = an_everything()
    setattr(row, name, value)
    through_or_refused(Everything, [an_everything(), row])


def test_rows_that_are_what_their_fields_say_need_no_pickle() -> None:
    codec, decoded = through(Everything, [an_everything()] * 3)
    assert codec is Codec.TYPED
    assert same(decoded.batch, [an_everything()] * 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("whole", True), ("whole", Level.LOW), ("part", 2**53 + 1), ("part", 1), ("part", True), ("text", Color.RED),
     ("day", datetime(2024, 1, 1)), ("at", date(2024, 1, 1)), ("by_name", collections.Counter(a=1)),
     ("by_name", collections.defaultdict(float, a=1.0)), ("by_name", {Color.RED: 1.0}), ("raw", bytearray(b"x")),
     ("names", ("a",)), ("fixed", Pair(1, "x")), ("inner", Plain(True)), ("maybe", True), ("text", UUID(int=1)),
     ("by_number", {1: Plain(Level.LOW)}), ("other", B("x", A(True)))],
)
def test_what_type_checkers_accept_and_msgpack_would_change_is_pickled(name: str, value: Any) -> None:
    row = an_everything()
    setattr(row, name, value)
    codec, decoded = through(Everything, [row])
    assert codec is Codec.PICKLE
    assert same(decoded.batch, [row])


@pytest.mark.parametrize(
    "row", [["a", Color.RED], {"a": Level.LOW}, {"a": (1, 2)}, {Color.RED: 1}, {"a": date(2024, 1, 1)}]
)
def test_dicts_and_lists_keep_what_is_in_them_though_they_are_annotated_as_plain(row: Any) -> None:
    codec, decoded = through(list[str] if isinstance(row, list) else dict[str, int], [row])
    assert codec is Codec.PICKLE
    assert same(decoded.batch, [row])


@pytest.mark.parametrize(
    "rows", [[noting(1)], [Frozen(x=1)], [annotated(1, "kept")], [[noting(1), annotated(2, Color.RED)]]]
)
def test_a_struct_is_not_rebuilt_on_its_way(rows: list[Any]) -> None:
    _, decoded = through(Any, rows)
    assert same(decoded.batch, rows)


def test_what_a_row_has_cached_comes_with_it() -> None:
    row = Annotated(2)
    assert row.double == 4
    _, decoded = through(Annotated, [row])
    assert vars(decoded.batch[0]) == {"double": 4}


def test_a_class_is_not_told_of_subclasses_that_nobody_made() -> None:
    before = Registered.seen
    _, decoded = through(Registered, [Registered(1)])
    assert same(decoded.batch, [Registered(1)])
    assert Registered.seen == before


def test_a_row_without_a_value_in_a_field_is_refused_and_not_filled() -> None:
    row = Plain(1)
    del row.x
    with pytest.raises(AttributeError, match="unset"):
        through(Plain, [row])


@pytest.mark.parametrize(("depth", "codec"), [(50, Codec.TYPED), (220, Codec.PICKLE)])
def test_nested_rows_come_back(depth: int, codec: Codec) -> None:
    row = Chain()
    for _ in range(depth):
        row = Chain(row)
    used, decoded = through(Chain, [row])
    assert used is codec
    assert decoded.batch == [row]


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


def test_text_that_is_not_unicode_comes_back() -> None:
    _, decoded = through(str, ["a\ud800"])
    assert decoded.batch == ["a\ud800"]


def test_rows_of_a_class_that_has_changed_since_are_told_and_the_others_come_through() -> None:
    stored = msgspec.msgpack.encode([{"x": 1}, {"x": "two"}, {"x": 3}])
    decoded = RowCodec(Plain).decode(int(Codec.TYPED), stored)
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
    codec, payload = RowCodec().encode(ColumnBatch(table))
    buffer = bytearray(payload)
    decoded = RowCodec().decode(int(codec), bytes(buffer))
    buffer[:] = bytes(len(buffer))  # the writer is a lap further
    assert codec is Codec.ARROW
    assert decoded.batch.table().equals(table)


def test_sliced_and_foreign_columns_come_back() -> None:
    pa = pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    table = pa.table({"x": list(range(10))})
    assert through(Any, ColumnBatch(table.slice(3, 2)))[1].batch.table().to_pydict() == {"x": [3, 4]}
    assert through(Any, ColumnBatch(table.slice(3, 2).to_batches()[0]))[1].batch.table().to_pydict() == {"x": [3, 4]}
    assert through(Any, ColumnBatch(polars.DataFrame({"x": [1, 2]})))[1].batch.table().to_pydict() == {"x": [1, 2]}


@given(st.lists(st.lists(tagged | texts, max_size=3), min_size=1, max_size=4))
def test_joined_payloads_come_back_as_one(batches: list[list[Any]]) -> None:
    codec = RowCodec(A | B)
    kind, payload = join_payloads([codec.encode(batch) for batch in batches])
    assert same(codec.decode(int(kind), payload).batch, [row for batch in batches for row in batch])


def test_rows_that_failed_are_named_by_their_place_in_what_was_joined() -> None:
    codec = RowCodec(Plain)
    changed = Codec.TYPED, msgspec.msgpack.encode([{"x": "x"}, {"x": 4}])
    parts = [codec.encode([Plain(1), Plain(2)]), changed]
    kind, payload = join_payloads(parts)
    decoded = codec.decode(int(kind), payload)
    assert list(decoded.failures) == [2]
    assert (decoded.batch[0], decoded.batch[1], decoded.batch[3]) == (Plain(1), Plain(2), Plain(4))


def test_payloads_of_several_shapes_are_joined_as_rows() -> None:
    pa = pytest.importorskip("pyarrow")
    codec = RowCodec()
    tables = [ColumnBatch(pa.table({name: [value]})) for name, value in (("x", 1), ("y", 2))]
    parts = [codec.encode(batch) for batch in (["a"], Lines(b"b\nc\n", 1), *tables)]
    kind, payload = join_payloads(parts)
    assert codec.decode(int(kind), payload).batch == ["a", "b", "c", {"x": 1}, {"y": 2}]


def test_joined_columns_stay_columns() -> None:
    pa = pytest.importorskip("pyarrow")
    codec = RowCodec()
    kind, payload = join_payloads([codec.encode(ColumnBatch(pa.table({"x": [n]}))) for n in range(3)])
    assert codec.decode(int(kind), payload).batch.table().to_pydict() == {"x": [0, 1, 2]}


def test_an_unknown_codec_is_reported() -> None:
    with pytest.raises(ValueError, match="unknown codec 99"):
        RowCodec().decode(99, b"")
