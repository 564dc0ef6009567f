"""Columns in a queue: a table of any type comes out as it went in, and each of its rows is what it was or is told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import columns
from penstock.channel.codec import Codec, RowCodec, join_payloads
from penstock.channel.column_batch import ColumnBatch

pa = pytest.importorskip("pyarrow")


def whole(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


UNITS = ("s", "ms", "us", "ns")
texts = st.text(st.sampled_from("ab\0é€😀"), max_size=16)
# Of every type: how its values are drawn. Moments and spans as their 64-bit number, so that some have no Python value.
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    *[(getattr(pa, f"int{bits}")(), whole(bits)) for bits in (8, 16, 32, 64)],
    *[(getattr(pa, f"uint{bits}")(), st.integers(0, 2**bits - 1)) for bits in (8, 16, 32, 64)],
    (pa.float32(), st.floats(width=32, allow_nan=False)), (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), texts), (pa.large_string(), texts), (pa.string_view(), texts),
    (pa.binary(), st.binary(max_size=5)), (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.large_binary(), st.binary(max_size=5)), (pa.null(), st.none()),
    (pa.decimal128(38, 3), st.decimals(-(10**30), 10**30, places=3)),
    (pa.decimal256(60, 0), st.integers(-(10**59), 10**59).map(Decimal)),
    (pa.date32(), whole(32)), (pa.time32("s"), st.integers(0, 86_399)),
    (pa.time64("ns"), st.integers(0, 86_400 * 10**9 - 1)),
    *[(pa.timestamp(unit, zone), whole(64)) for unit in UNITS for zone in (None, "UTC", "Asia/Tokyo")],
    *[(pa.duration(unit), whole(64)) for unit in UNITS],
]


@st.composite
def kinds(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """A type, and values of it."""
    shape = draw(st.sampled_from(["leaf"] * 4 + ["list", "large_list", "fixed", "struct", "map", "dictionary"]))
    if shape == "leaf" or depth == 0:
        return draw(st.sampled_from(LEAVES))
    if shape == "dictionary":
        return pa.dictionary(pa.int8(), pa.string()), texts
    inner, values = draw(kinds(depth - 1))
    if shape == "struct":
        fields = {name: draw(kinds(depth - 1)) for name in draw(st.sets(st.sampled_from("xyz")))}
        return pa.struct({name: kind for name, (kind, _) in fields.items()}), st.fixed_dictionaries(
            {name: st.none() | values for name, (_, values) in fields.items()}
        )
    if shape == "map":
        return pa.map_(pa.string(), inner), st.dictionaries(texts, values, max_size=3).map(
            lambda pairs: list(pairs.items())
        )
    size = 2 if shape == "fixed" else 3
    kind = {"list": pa.list_, "large_list": pa.large_list, "fixed": lambda kind: pa.list_(kind, 2)}[shape](inner)
    return kind, st.lists(st.none() | values, min_size=2 if shape == "fixed" else 0, max_size=size)


@st.composite
def tables(draw: st.DrawFn, rows: int | None = None) -> Any:
    length = draw(st.integers(0, 4)) if rows is None else rows
    arrays, fields = [], []
    for number in range(draw(st.integers(1, 3))):
        kind, values = draw(kinds())
        drawn = draw(st.lists(st.none() | values, min_size=length, max_size=length))
        arrays.append(array_of(drawn, kind))
        note = draw(st.none() | st.dictionaries(st.binary(max_size=3), st.binary(max_size=3), max_size=1))
        fields.append(pa.field(f"c{number}", kind, metadata=note))
    table = pa.table(arrays, schema=pa.schema(fields, metadata=draw(st.none() | st.just({b"by": b"hand"}))))
    start = draw(st.integers(0, length))
    return table.slice(start, draw(st.integers(0, length - start))) if draw(st.booleans()) else table


def array_of(values: list[Any], kind: Any) -> Any:
    """Numbers of days, moments and spans are taken as they are stored."""
    if pa.types.is_temporal(kind):
        stored = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.array(values, stored).view(kind)
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, OverflowError, TypeError):  # a moment without a Python value, deeper inside
        return pa.nulls(len(values), kind)


def as_python(scalar: Any) -> tuple[bool, Any]:
    """(whether a value has a form in Python, which one)."""
    try:
        return True, scalar.as_py(maps_as_pydicts="strict")
    except Exception:
        return False, None


@given(tables())
def test_a_table_of_any_type_comes_back(table: Any) -> None:
    codec, payload = RowCodec().encode(ColumnBatch(table))
    assert codec is Codec.ARROW
    came = RowCodec().decode(int(codec), bytes(payload)).batch.table()
    assert came.equals(table, check_metadata=True)
    came.validate()


@given(st.data(), st.integers(1, 3))
def test_tables_that_are_joined_come_back_one_below_the_other(data: st.DataObject, pieces: int) -> None:
    table = data.draw(tables())
    kind, payload = join_payloads([RowCodec().encode(ColumnBatch(table))] * pieces)
    came = RowCodec().decode(int(kind), payload).batch.table()
    assert came.equals(pa.concat_tables([table] * pieces), check_metadata=True)


@given(tables())
def test_each_row_of_a_table_is_what_it_was_or_is_told(table: Any) -> None:
    rows, failures = columns.rows_or_failures(table, Any)
    assert len(rows) == table.num_rows
    for index in range(table.num_rows):
        values = {name: as_python(table.column(name)[index]) for name in table.column_names}
        if index in failures:
            shown, why = failures[index]
            assert set(shown) == set(values) and why
            assert not all(good for good, _ in values.values())
        else:
            assert repr(rows[index]) == repr({name: value for name, (_, value) in values.items()})


def test_a_moment_that_python_has_no_value_for_costs_its_own_row_only() -> None:
    moments = pa.array([0, 2**62, 1], pa.int64()).view(pa.timestamp("s", "UTC"))
    rows, failures = columns.rows_or_failures(pa.table({"at": moments, "n": [1, 2, 3]}), Any)
    began = datetime(1970, 1, 1, tzinfo=UTC)
    assert rows == [{"at": began, "n": 1}, None, {"at": began.replace(second=1), "n": 3}]
    assert list(failures) == [1]
    assert failures[1][0]["n"] == 2 and "column 'at'" in failures[1][1]
