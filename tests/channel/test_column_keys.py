"""Columns of keys go where their rows would go one by one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.channel import column_keys
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.router import Router, group_of_key
from penstock.plan.membership import KEY_GROUPS
from penstock.plan.plan import Route

TABLE = tuple(group * 7 % 5 for group in range(KEY_GROUPS))
VALUES: dict[str, list[Any]] = {
    "text": ["", "a", "ä", "\U0001f600", "x" * 31, "x" * 32, "y" * 64, "z" * 300, None, *(f"k{n}" for n in range(300))],
    "numbers": [0, 1, -1, 127, 128, 2**31, -(2**63), 2**63 - 1, None],
    "floats": [0.0, -0.0, 1.0, 2.5, float("nan"), float("inf"), None],
    "bools": [True, False, None],
    "moments": [datetime(2026, 1, 1, tzinfo=UTC), None],
    "days": [date(2026, 1, 1), None],
    "bytes": [b"", b"a", None],
    "decimals": [Decimal("1.50"), Decimal(2), None],
}


def routed(column: pa.Array) -> dict[int, list[int]]:
    """The rows of each receiver."""
    table = pa.table({"key": column, "row": list(range(len(column)))})
    parts, failures = Router(Route.HASH, 5, "key", TABLE).split(ColumnBatch(table), list, 0)
    assert not failures
    return {slot: part.table()["row"].to_pylist() for slot, part in parts}


@pytest.mark.parametrize("kind", VALUES)
def test_a_key_in_a_column_goes_where_it_goes_in_a_row(kind: str) -> None:
    column = pa.array(VALUES[kind] * 2)
    expected: dict[int, list[int]] = {}
    for row, key in enumerate(column.to_pylist()):
        expected.setdefault(TABLE[group_of_key(key)], []).append(row)
    assert routed(column) == expected
    if pa.types.is_string(column.type):
        assert routed(column.cast(pa.large_string())) == routed(column.dictionary_encode()) == expected


@given(st.lists(st.text(max_size=40), min_size=1))
def test_text_is_hashed_alike_all_at_once_and_one_by_one(keys: list[str]) -> None:
    keys = [key.encode(errors="replace").decode() for key in keys]
    for column in (pa.array(keys), pa.array(["", *keys]).slice(1), pa.array(keys, pa.large_string())):
        groups = column_keys.groups_of_text(column)
        assert groups is None or groups.to_pylist() == [group_of_key(key) for key in keys]


def test_many_different_keys_are_hashed_without_looking_for_equal_ones() -> None:
    column = pa.array([f"user-{n}" for n in range(5000)])
    expected = [TABLE[group_of_key(key)] for key in column.to_pylist()]
    assert column_keys.by_key(column, group_of_key, TABLE).to_pylist() == expected


def test_what_is_no_key_is_set_aside_and_the_others_go_their_way() -> None:
    table = pa.table({"key": [[1], None, [2]]})
    parts, failures = Router(Route.HASH, 5, "key", TABLE).split(ColumnBatch(table), list, 0)
    assert len(failures) == 2 and sum(part.count for _, part in parts) == 1
