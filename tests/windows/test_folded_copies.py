"""`fold`: whatever a function does to its value before it raises, the value stays as it was."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.windows.aggregations.folded import Folds


class Bid(msgspec.Struct, frozen=True):
    price: int
    tags: list[int] | int = 0


class Loose(msgspec.Struct):
    tags: list[int]


numbers = st.integers(0, 9)
lists = st.lists(numbers, max_size=3)
items = numbers | lists | st.builds(Bid, numbers, lists | numbers) | st.builds(Loose, lists)
values = st.lists(items, max_size=4) | st.dictionaries(numbers, items, max_size=3) | items


def spoil(value: Any) -> None:
    """Change all that can be changed."""
    match value:
        case list():
            for item in value:
                spoil(item)
            value.append(99)
        case dict():
            for item in value.values():
                spoil(item)
            value[99] = 99
        case Bid() | Loose():
            spoil(value.tags)


def spoil_and_raise(value: Any, row: Any) -> Any:
    spoil(value)
    raise ValueError(row)


@given(values)
def test_a_row_that_fails_leaves_the_value_as_it_was(value: Any) -> None:
    before = copy.deepcopy(value)
    folds = Folds(value, spoil_and_raise, spoil_and_raise)
    for call in (lambda: folds.next(value, 1), lambda: folds.first(1), lambda: folds.both(value, value)):
        with pytest.raises(ValueError):
            call()
        assert value == before


def test_rows_that_cannot_be_changed_are_kept_and_not_copied() -> None:
    bids = [Bid(1), Bid(2)]
    kept = Folds([], lambda value, row: value, None).next(bids, None)
    assert kept is not bids and all(mine is theirs for mine, theirs in zip(kept, bids, strict=True))
