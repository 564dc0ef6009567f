"""Each verb does the same alone, behind others, beside batch functions and beside coroutines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verb_places import check_everywhere

from penstock.operators.each import Each
from penstock.operators.filter import Filter
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.operators.map_many import MapMany
from penstock.operators.parse_json import ParseJson
from penstock.operators.verb import Operator

rows = st.lists(st.integers(0, 20), max_size=8)


def inverse(n: int) -> float:
    return 1 / (n % 5)


@given(rows)
def test_map_gives_one_row_for_one(given_rows: list[int]) -> None:
    check_everywhere(Map(inverse, ""), given_rows, lambda n: [inverse(n)])


@given(rows)
def test_map_awaits(given_rows: list[int]) -> None:
    async def later(n: int) -> float:
        return inverse(n)

    check_everywhere(Map(later, ""), given_rows, lambda n: [inverse(n)], alone=False)


@given(rows)
def test_filter_keeps_rows_as_they_are(given_rows: list[int]) -> None:
    check_everywhere(Filter(lambda n: inverse(n) > 0.3, ""), given_rows, lambda n: [n] if inverse(n) > 0.3 else [])


@given(rows)
def test_flat_map_gives_any_number_of_rows_and_none_if_it_raises_half_way(given_rows: list[int]) -> None:
    def down(n: int) -> Iterator[float]:
        for m in range(n % 4, -1, -1):
            yield inverse(m + n % 2)

    check_everywhere(FlatMap(down, ""), given_rows, down)


@given(st.lists(st.sampled_from(["text", b"bytes", {"a": 1}, 5, None, [1, 2]]), max_size=6))
def test_flat_map_takes_texts_and_dicts_for_mistakes(given_rows: list[Any]) -> None:
    def meaning(row: Any) -> list[Any]:
        if not isinstance(row, list):
            raise TypeError
        return row

    check_everywhere(FlatMap(lambda row: row, ""), given_rows, meaning)


@given(rows)
def test_each_is_called_and_gives_nothing(given_rows: list[int]) -> None:
    seen: list[int] = []

    def look(n: int) -> None:
        inverse(n)
        seen.append(n)

    def meaning(n: int) -> list[int]:
        inverse(n)
        return []

    check_everywhere(Each(look, ""), given_rows, meaning)
    assert set(seen) == {n for n in given_rows if n % 5}


class Click(msgspec.Struct):
    ms: int


@given(st.lists(st.sampled_from(['{"ms":1}', b'{"ms":2}', '{"ms":"x"}', "", "{"]), max_size=6))
def test_parse_json_decodes_each_row(given_rows: list[Any]) -> None:
    def meaning(row: Any) -> list[Click]:
        return [msgspec.json.decode(row, type=Click)]

    check_everywhere(ParseJson(None, "", type=Click), given_rows, meaning)


def listed(n: int) -> list[str]:
    return [str(n)]


def is_text(row: int | str) -> TypeGuard[str]:
    return isinstance(row, str)


def positive(n: int) -> bool:
    return n > 0


def each_listed(ns: list[int]) -> list[str]:
    return [str(n) for n in ns]


@pytest.mark.parametrize(
    ("operator", "taken", "given_back"),
    [
        (Map(listed, ""), int, list[str]),
        (FlatMap(listed, ""), int, str),
        (Filter(positive, ""), int, int | str),
        (Filter(is_text, ""), int | str, str),
        (Each(print, ""), Any, None),
        (MapMany(each_listed, ""), int, str),
        (ParseJson(None, "", type=Click), str | bytes, Click),
    ],
)
def test_a_verb_knows_the_rows_that_it_takes_and_gives(operator: Operator, taken: Any, given_back: Any) -> None:
    assert operator.row_taken == taken
    assert operator.row_given(int | str) == given_back
