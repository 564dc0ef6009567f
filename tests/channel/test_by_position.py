"""Rows that go by position come back as rows of their class, whatever class that is."""

from __future__ import annotations

import gc
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.channel.by_position import goes_by_position
from penstock.channel.codec import Codec, RowCodec
from penstock.channel.packed_rows import PackedRows
from penstock.plan.projection import Projection


class Plain(msgspec.Struct):
    a: int
    b: str = "none"
    tags: list[str] = []


class Frozen(msgspec.Struct, frozen=True, gc=False, order=True):
    a: int
    b: str = "none"


class Derived(Plain, kw_only=True, weakref=True):
    c: float
    d: Plain | None = None


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    some_number: int
    some_text: str = "none"


class Nothing(msgspec.Struct):
    pass


class One(msgspec.Struct, cache_hash=True, frozen=True):
    at: datetime




text, number = st.text(max_size=3), st.integers(-(2**63), 2**63 - 1)
plain = st.builds(Plain, number, text, st.lists(text, max_size=2))
moments = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0))
rows = st.one_of(
    st.lists(plain), st.lists(st.builds(Frozen, number, text)),
    st.lists(st.builds(Derived, a=number, b=text, c=st.floats(allow_nan=False), d=st.none() | plain)),
    st.lists(st.builds(Renamed, number, text)), st.lists(st.just(Nothing())), st.lists(st.builds(One, moments)),
)  # fmt: skip


@given(rows)
def test_what_comes_out_is_what_went_in(given: list[Any]) -> None:
    kind = type(given[0]) if given else Plain
    codec, data = RowCodec(kind, whole_rows=True).encode(given)
    assert codec is Codec.POSITIONAL
    decoded = RowCodec(kind).decode(codec, data, len(given))
    assert decoded.failures == {}
    assert decoded.batch == given
    assert {type(row) for row in decoded.batch} <= {kind}
    assert repr(decoded.batch) == repr(given)
    assert [hash(row) for row in decoded.batch if kind is One] == [hash(row) for row in given if kind is One]


def test_rows_live_and_go_as_rows_of_their_class() -> None:
    given = [Derived(a=n, c=1.0, d=Plain(n, tags=["x"])) for n in range(1000)]
    made = RowCodec(Derived).decode(*RowCodec(Derived, whole_rows=True).encode(given)).batch
    for row in made:
        row.tags.append(row)  # a cycle, for the collector
        row.d = None
    assert gc.is_tracked(made[0])
    del made, row
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Derived) and len(each.tags)]


def test_a_row_that_is_not_what_its_class_says_has_all_pickled() -> None:
    given = [Plain(1), Plain(True)]
    codec, data = RowCodec(Plain, whole_rows=True).encode(given)
    assert codec is Codec.PICKLE
    assert RowCodec(Plain).decode(codec, data).batch[1].a is True


def test_a_row_without_a_value_or_beyond_64_bits_is_pickled_too() -> None:
    codec = RowCodec(Plain, whole_rows=True)
    assert codec.encode([Plain(2**70)])[0] is Codec.PICKLE


@pytest.mark.parametrize(
    "options", [{"tag": True}, {"array_like": True}, {"tag": "x", "array_like": True}], ids=str
)
def test_classes_that_say_themselves_how_they_are_written_go_as_they_say(options: dict[str, Any]) -> None:
    kind = msgspec.defstruct("Kind", [("a", int)], **options)
    assert not goes_by_position(kind)
    codec, data = RowCodec(kind, whole_rows=True).encode([kind(1)])
    assert codec is Codec.TYPED
    assert RowCodec(kind).decode(codec, data).batch == [kind(1)]


class Told(msgspec.Struct):
    a: int

    def __init_subclass__(cls, **options: Any) -> None:
        raise AssertionError("a subclass was made")


class Sets(msgspec.Struct):
    a: int

    def __setattr__(self, name: str, value: Any) -> None:
        raise AssertionError("something was set")


def test_classes_that_hear_of_their_subclasses_go_by_name() -> None:
    assert not goes_by_position(Told)
    assert RowCodec(Told, whole_rows=True).encode([Told(1)])[0] is Codec.TYPED


def test_nothing_is_set_that_a_class_could_hear_of() -> None:
    codec, data = RowCodec(Sets, whole_rows=True).encode([Sets(1)])
    assert codec is Codec.POSITIONAL
    assert RowCodec(Sets).decode(codec, data).batch[0].a == 1


def test_rows_without_containers_are_nothing_to_the_garbage_collector() -> None:
    codec, data = RowCodec(Renamed, whole_rows=True).encode([Renamed(1)])
    assert codec is Codec.POSITIONAL
    assert not gc.is_tracked(RowCodec(Renamed).decode(codec, data).batch[0])


class Before(msgspec.Struct):
    a: Any
    gone: Any = None


class After(msgspec.Struct, rename="camel"):
    a: int
    new_one: str = "new"


def test_rows_of_a_class_that_has_other_fields_since_are_read_by_name() -> None:
    class Sent(msgspec.Struct):
        new_one: str
        a: int
        gone: int

    codec, data = RowCodec(Sent, whole_rows=True).encode([Sent("x", 1, 2), Sent("y", 2, 3)])
    assert RowCodec(After).decode(codec, data).batch == [After(1, "x"), After(2, "y")]


def test_rows_whose_fields_have_other_types_since_are_told_one_by_one() -> None:
    class Sent(msgspec.Struct):
        a: int | str
        new_one: str = "new"

    codec, data = RowCodec(Sent, whole_rows=True).encode([Sent(1), Sent("x")])
    decoded = RowCodec(After).decode(codec, data)
    assert decoded.batch == [After(1), None]
    row, why = decoded.failures[1]
    assert row == {"a": "x", "newOne": "new"}
    assert "After" in str(why)


def test_a_stage_that_reads_little_understands_them_and_what_it_was_sent_by_name() -> None:
    reads = RowCodec(Plain, Projection(Plain, ("a",), True))
    positional, named = RowCodec(Plain, whole_rows=True).encode([Plain(1)]), RowCodec(Plain).encode([Plain(1)])
    assert [positional[0], named[0]] == [Codec.POSITIONAL, Codec.TYPED]
    assert reads.decode(*positional).batch == [Plain(1)]
    assert isinstance(reads.decode(*named).batch, PackedRows)
    assert RowCodec(Plain, whole_rows=True).encode(reads.decode(*named).batch) == named
