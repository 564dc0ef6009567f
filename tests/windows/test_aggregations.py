"""Aggregations against plain Python over lists, however their rows are split, merged, stored, undone or failed."""

from __future__ import annotations

import copy
import math
import statistics
import types
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.windows.accumulators import AccumulatorCode, Accumulators
from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.aggregations.own import Own
from penstock.windows.aggregations.quantiles import RELATIVE_ERROR


class Row(msgspec.Struct):
    """A row whose field may be None, and its time."""

    t: int
    n: int
    v: float | None
    word: str | None


class Spread(msgspec.Struct):
    """An aggregation of the user's own."""

    low: float = math.inf
    high: float = -math.inf
    seen: list[int] = []

    def add(self, row: Row) -> None:
        self.seen.append(row.n)
        self.low, self.high = min(self.low, row.n), max(self.high, row.n)

    def merge(self, other: Spread) -> None:
        self.seen += other.seen
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def result(self) -> tuple[float, list[int]]:
        return self.high - self.low, self.seen


rows = st.builds(
    Row, t=st.integers(0, 5), n=st.integers(-50, 50),
    v=st.none() | st.integers(-1000, 1000).map(lambda n: n / 8), word=st.none() | st.sampled_from("abcdef"),
)


def present(rows: list[Row]) -> list[float]:
    return [row.v for row in rows if row.v is not None]


def or_none(fn: Callable[[list[float]], Any]) -> Callable[[list[Row]], Any]:
    return lambda rows: fn(present(rows)) if present(rows) else None


def top(rows: list[Row]) -> list[int]:
    there = [(row.v, row.n) for row in rows if row.v is not None]
    return [n for _, n in sorted(there, key=lambda pair: -pair[0])[:3]]


def ranked(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.7 * len(values)) - 1]


NO_ROW: Any = types.SimpleNamespace(n=None)
CASES: dict[str, tuple[Aggregation, Callable[[list[Row]], Any]]] = {
    "count": (ps.count(), len),
    "count_there": (ps.count("v"), lambda rows: len(present(rows))),
    "sum": (ps.sum("v"), or_none(sum)),
    "sum_fn": (ps.sum(lambda row: row.n * 2), lambda rows: sum(row.n * 2 for row in rows)),
    "min": (ps.min("v"), or_none(min)),
    "max": (ps.max("v"), or_none(max)),
    "max_n": (ps.max("n"), lambda rows: max(row.n for row in rows)),
    "mean": (ps.mean("v"), or_none(statistics.fmean)),
    "variance": (ps.variance("v"), or_none(lambda v: statistics.variance(v) if len(v) > 1 else None)),
    "stddev": (ps.stddev("v", ddof=0), or_none(statistics.pstdev)),
    "first": (ps.first("word"), lambda rows: min(rows, key=lambda row: row.t).word),
    "last": (ps.last("v"), lambda rows: max(reversed(rows), key=lambda row: row.t).v),
    "arg_min": (
        ps.arg_min("n", by="v"),
        lambda rows: min((row for row in rows if row.v is not None), key=lambda row: row.v, default=NO_ROW).n,
    ),
    "arg_max": (ps.arg_max("word", by="n"), lambda rows: max(rows, key=lambda row: row.n).word),
    "distinct": (ps.count_distinct("word"), lambda rows: len({row.word for row in rows} - {None})),
    "approximate": (ps.count_distinct("n", approximate=True), lambda rows: len({row.n for row in rows})),
    "top": (ps.top_k(3, by="v", of="n"), lambda rows: top(rows) or None),
    "collect": (ps.collect("word"), lambda rows: [row.word for row in rows]),
    "rows": (ps.collect(), list),
    "own": (Own(None, Spread), lambda rows: (
        max(row.n for row in rows) - min(row.n for row in rows), [row.n for row in rows],
    )),
}
ALL = {name: aggregation for name, (aggregation, _) in CASES.items()} | {"quantile": ps.quantile("v", 0.7)}


def accumulators(row_type: Any = Row, only: Mapping[str, Aggregation] = ALL) -> Accumulators:
    return Accumulators(AccumulatorCode(only, row_type, 1))


def accumulated(of: Accumulators, rows: list[Any], time: Callable[[Any], int]) -> list[Any]:
    made = of.first(rows[0], time(rows[0]), [0])
    for row in rows[1:]:
        of.update(made, row, time(row))
    return made


def check(given: Mapping[str, Any], rows: list[Row]) -> None:
    for name, (_, model) in CASES.items():
        expected = model(rows)
        if isinstance(expected, float):
            assert given[name] == pytest.approx(expected, rel=1e-9, abs=1e-9), name
        else:
            assert given[name] == expected, name
    there = present(rows)
    if not there:
        assert given["quantile"] is None
    else:
        assert given["quantile"] == pytest.approx(ranked(there), rel=RELATIVE_ERROR)


def results(of: Accumulators, accumulator: list[Any]) -> dict[str, Any]:
    return dict(zip(of.code.results(), of.results(accumulator), strict=True))


TYPED, DICTS, UNKNOWN = accumulators(), accumulators(dict[str, Any]), accumulators(Any)


@given(st.lists(rows, min_size=1, max_size=30))
def test_every_aggregation_gives_what_plain_python_gives(rows: list[Row]) -> None:
    check(results(TYPED, accumulated(TYPED, rows, lambda row: row.t)), rows)
    check(results(UNKNOWN, accumulated(UNKNOWN, rows, lambda row: row.t)), rows)


only_fields = {name: one for name, one in ALL.items() if name not in ("sum_fn", "own")}


@given(st.lists(rows, min_size=1, max_size=20))
def test_rows_may_be_dicts_and_their_type_need_not_be_known(rows: list[Row]) -> None:
    dicts = [msgspec.structs.asdict(row) for row in rows]
    typed = accumulators(Row, only_fields)
    expected = results(typed, accumulated(typed, rows, lambda row: row.t))
    expected["rows"] = dicts
    for row_type in (dict[str, Any], Any):
        of = accumulators(row_type, only_fields)
        assert results(of, accumulated(of, dicts, lambda row: row["t"])) == expected


@given(st.lists(st.lists(rows, min_size=1, max_size=8), min_size=1, max_size=5), st.data())
def test_accumulators_merge_in_any_grouping_and_what_was_merged_in_stays_as_it_was(
    parts: list[list[Row]], data: st.DataObject
) -> None:
    made = [accumulated(TYPED, part, lambda row: row.t) for part in parts]
    while len(made) > 1:
        at = data.draw(st.integers(0, len(made) - 2))
        into, other = TYPED.copy(made[at]), made[at + 1]
        before = frozen(other)
        TYPED.merge(into, other)
        assert frozen(other) == before
        made[at : at + 2] = [into]
    check(results(TYPED, made[0]), [row for part in parts for row in part])


def frozen(accumulator: list[Any]) -> list[Any]:
    """As it is now."""
    return copy.deepcopy(accumulator)


@given(st.lists(rows, min_size=2, max_size=20), st.data())
def test_an_accumulator_is_stored_and_resumed(rows: list[Row], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(rows) - 1))
    made = accumulated(TYPED, rows[:at], lambda row: row.t)
    stored = tuple[(int, *TYPED.code.state_types())]  # type: ignore[misc]
    again = list(msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=stored))
    for row in rows[at:]:
        TYPED.update(again, row, row.t)
    check(results(TYPED, again), rows)


@given(st.lists(rows, min_size=2, max_size=20))
def test_what_was_noted_takes_a_row_back(rows: list[Row]) -> None:
    made = accumulated(TYPED, rows[:-1], lambda row: row.t)
    before = frozen(made)
    take_back = noted(TYPED, made, rows[-1], rows[-1].t)
    check(results(TYPED, made), rows)
    take_back()
    assert frozen(made) == before


def noted(of: Accumulators, accumulator: list[Any], row: Any, time: int) -> Callable[[], None]:
    """Adds a row; gives what takes it back."""
    notes: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
    of.update_noted(accumulator, row, time, lambda undo, *args: notes.append((undo, args)))

    def take_back() -> None:
        for undo, args in reversed(notes):
            undo(*args)

    return take_back


def test_many_hashes_are_taken_back_too() -> None:
    of = accumulators(Any, {"n": ps.count_distinct(None, approximate=True)})
    for already in (255, 256, 257, 400):
        made = accumulated(of, list(range(already)), lambda row: 0)
        before = frozen(made)
        noted(of, made, "another", 0)()
        assert frozen(made) == before


class Broken:
    """Breaks what is done with it."""

    def __lt__(self, other: object) -> bool:
        raise ValueError("no order")

    __gt__ = __lt__
    __hash__ = None  # type: ignore[assignment]


@given(st.lists(rows, min_size=1, max_size=10), st.sampled_from(["n", "v", "word"]))
def test_a_row_that_fails_leaves_the_accumulator_as_it_was(rows: list[Row], field: str) -> None:
    made = accumulated(TYPED, rows, lambda row: row.t)
    before = frozen(made)
    failing = Row(3, 1, 1.0, "a")
    setattr(failing, field, Broken())
    with pytest.raises((TypeError, ValueError)):
        TYPED.update(made, failing, 3)
    assert frozen(made) == before


def test_a_list_beyond_its_limit_is_an_error_of_the_row_that_is_too_much() -> None:
    of = accumulators(Any, {"all": ps.collect(None, limit=2), "n": ps.count()})
    made = accumulated(of, ["a", "b"], lambda row: 0)
    with pytest.raises(ValueError, match="more than 2 rows"):
        of.update(made, "c", 0)
    assert of.results(made) == (["a", "b"], 2)


def test_types_of_results_are_known_when_a_pipeline_is_built() -> None:
    given = TYPED.code.result_types()
    assert given["count"] is int and given["count_there"] is int and given["mean"] == float | None
    assert given["max_n"] is int and given["first"] == str | None and given["sum"] == float | None
    assert given["rows"] == list[Row] and given["top"] == list[int] | None
    assert UNKNOWN.code.result_types()["sum"] is Any


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_within_its_error(values: list[float], q: float) -> None:
    of = accumulators(Any, {"q": ps.quantile(lambda row: row, q)})
    exact = sorted(values)[max(math.ceil(q * len(values)), 1) - 1]
    (given,) = of.results(accumulated(of, values, lambda row: 0))
    # The smallest floats of all have fewer digits than a bucket needs.
    assert given == pytest.approx(exact, rel=RELATIVE_ERROR, abs=1e-320)


def test_a_quantile_refuses_what_has_no_rank() -> None:
    of = accumulators(Any, {"q": ps.quantile(lambda row: row, 0.5)})
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="cannot be ranked"):
            of.first(value, 0, [0])


@pytest.mark.parametrize("many", [10, 256, 257, 1_000, 5_000, 12_000, 60_000])
def test_different_values_are_estimated_within_five_standard_errors(many: int) -> None:
    of = accumulators(Any, {"n": ps.count_distinct(None, approximate=True)})
    half = accumulated(of, [f"user-{n}" for n in range(many // 2 + 1)], lambda row: 0)
    other = accumulated(of, [f"user-{n}" for n in range(many // 3, many)], lambda row: 0)
    of.merge(half, other)
    (given,) = of.results(half)
    assert given == (many if many <= 256 else pytest.approx(many, rel=5 * 0.0163))


def test_equal_values_count_once_whatever_their_type() -> None:
    of = accumulators(Any, {"n": ps.count_distinct(None, approximate=True)})
    values = [1, 1.0, True, (1, "a"), (1.0, "a"), "1", b"1", math.nan, math.nan, 2**70, 2.0**70]
    made = accumulated(of, values, lambda row: 0)
    assert of.results(made) == (6,)


class NoMerge(msgspec.Struct):
    def add(self, row: int) -> None: ...

    def result(self) -> int:
        return 1


class Unknown:
    def add(self, row: int) -> None: ...

    def merge(self, other: Unknown) -> None: ...

    def result(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("aggregation", "types", "what"),
    [
        (ps.sum("name"), [str], "sum('name') is computed of numbers, but the values are str"),
        (ps.mean("name"), [bytes], "the values are bytes"),
        (ps.quantile("ms", 99), [int], "99 is no share"),
        (ps.variance("ms", ddof=2), [int], "ddof=2"),
        (ps.top_k(0, by="ms"), [Any, int], "k=0"),
        (ps.collect(limit=0), [Any], "limit=0"),
        (ps.count_distinct("tags"), [list[str]], "list[str] cannot be hashed"),
        (Own(None, NoMerge), [Any], "NoMerge has no merge"),
        (Own(None, Unknown), [Any], "Unknown cannot be kept as state"),
    ],
)
def test_mistakes_are_known_before_anything_runs(aggregation: Aggregation, types: list[Any], what: str) -> None:
    [(found, remedy)] = aggregation.mistakes(types)
    assert what in found and remedy


def test_aggregations_have_the_names_that_users_wrote() -> None:
    names = [one.name for one in (ps.count(), ps.sum("ms"), ps.arg_max("user", by="ms"), ps.quantile("ms", 0.9))]
    assert names == ["count()", "sum('ms')", "arg_max('user', 'ms')", "quantile('ms', 0.9)"]
