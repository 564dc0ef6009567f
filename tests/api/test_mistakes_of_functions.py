"""Mistakes in the functions a user passes, each with its line."""

from __future__ import annotations

import functools
import json
import operator
import re
import sqlite3
import threading
import warnings
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest
from expected_mistakes import only_mistake

import penstock as ps


class Click(msgspec.Struct):
    user: str
    ms: float


class Visit(msgspec.Struct):
    page: str


class Base:
    pass


class Derived(Base):
    pass


def click(n: int) -> Click:
    return Click(str(n), 1.0)


def score(visit: Visit) -> float:
    return 1.0


def double(n: int) -> int:
    return 2 * n


def started() -> tuple[ps.Pipeline, ps.Stream[int]]:
    app = ps.Pipeline("app")
    return app, app.source([1, 2, 3])


def test_neighbours_that_cannot_fit_are_a_mistake() -> None:
    app, items = started()
    clicks = items.map(click)
    clicks.map(score).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "map(score) takes Visit, but line ", "takes Click")
    assert f"line {lines_of(app)[-1] - 1} gives Click" in app.check()[0].what


def lines_of(app: ps.Pipeline) -> list[int]:
    return [mistake.line for mistake in app.check()]


def add(n: int, more: int) -> int:
    return n + more


def nothing() -> int:
    return 0


def keyword(n: int, *, more: int) -> int:
    return n + more


class Adder:
    def __call__(self, n: int, more: int) -> int:
        return n + more


class Idle:
    def __call__(self) -> int:
        return 0


@pytest.mark.parametrize("verb", ["map", "filter", "flat_map", "map_many", "key_by", "sink"])
@pytest.mark.parametrize(
    ("fn", "what", "remedy"),
    [
        (add, "(add) is called with one argument, the row", "functools.partial(add, more=...)"),
        (keyword, "(keyword) is called with one argument, the row", "functools.partial(keyword, more=...)"),
        (lambda n, more: n, "(lambda) is called with one argument, the row", "functools.partial(lambda, more=...)"),
        (functools.partial(add), "(partial(add)) is called with one argument, the row", "partial(partial(add), more"),
        (Adder(), "(Adder) is called with one argument, the row", "make them attributes of Adder"),
        (nothing, "(nothing) takes no arguments, but is called with one, the row", "give nothing an argument"),
        (Idle(), "(Idle) takes no arguments", "give `Idle.__call__` an argument"),
        (Adder().__call__, "(Adder.__call__) is called with one argument, the row", "partial(Adder.__call__, more"),
    ],
)
def test_a_function_that_cannot_be_called_with_a_row_is_a_mistake(verb: str, fn: Any, what: str, remedy: str) -> None:
    app, items = started()
    getattr(items, verb)(fn)
    found = [m for m in app.check() if verb + what in m.what]
    assert len(found) == 1 and remedy in found[0].remedy, app.check()


@pytest.mark.parametrize("made", [Adder, Idle])
def test_a_class_whose_instances_cannot_be_called_with_a_row_is_a_mistake(made: Any) -> None:
    app, items = started()
    items.map(made).sink(print)  # MISTAKE
    only_mistake(app, f"map({made.__name__}) ", made.__name__)


def decorated(fn: Any) -> Any:
    """Fills in an argument itself, and says that it looks like what it wraps."""

    @functools.wraps(fn)
    def called(n: int) -> int:
        return int(fn(n, 1))

    return called


class Static:
    @staticmethod
    def __call__(n: int) -> int:
        return n


@pytest.mark.parametrize(
    "fn",
    [
        int, str, bool, abs, len, print, "{}".format, str.upper, str.split, {}.get, {1}.__contains__, json.loads,
        max, Visit, decorated(add), functools.partial(add, more=1), functools.partial(add, 1), Static, Static(),
        lambda *n: n, lambda n=0: n, lambda n, more=1: n, lambda n, **more: n, re.compile("x").match,
        operator.itemgetter(0), operator.neg,
    ],
)  # fmt: skip
def test_what_can_be_called_with_a_row_is_none(fn: Any) -> None:
    app, items = started()
    items.map(fn)
    assert [m.what for m in app.check() if "argument" in m.what] == []


def test_neighbours_are_compared_through_stages_merges_and_filters() -> None:
    app, items = started()
    more = app.source([4], name="more")
    merged = items.merge(more).stage("a").filter(bool)
    merged.stage("b").map(score).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "map(score) takes Visit, but line ")


class Described:
    def __call__(self, row: Visit) -> str:
        return row.page


def test_a_class_of_operators_is_compared_by_its_call() -> None:
    app, items = started()
    items.map(Described).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "map(Described) takes Visit")


def test_a_function_given_to_a_sink_is_compared() -> None:
    app, items = started()
    items.sink(score)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "sink(score) takes Visit, but line")


def base(row: Base) -> Base:
    return row


def derived(row: int) -> Derived:
    return Derived()


def wide(row: int) -> int | None:
    return row


def generic(row: list[int]) -> dict[str, Any]:
    return {}


def anything(row: object) -> Any:
    return row


def several(row: Iterable[int]) -> list[int]:
    return list(row)


class Typed(TypedDict):
    a: int


def typed(row: Typed) -> int:
    return row["a"]


def real(row: float) -> float:
    return row


@pytest.mark.parametrize(
    ("first", "second"),
    [(derived, base), (wide, double), (anything, score), (several, generic), (generic, typed), (double, real),
     (str, anything), (lambda row: row, score), (functools.partial(double), double)],
)  # fmt: skip
def test_neighbours_that_may_fit_are_none(first: Any, second: Any) -> None:
    app, items = started()
    items.map(lambda row: row).map(first).map(second).sink(print)
    assert list(app.check()) == []


def test_parse_json_of_rows_that_are_not_text_is_a_mistake() -> None:
    app, items = started()
    items.parse_json(Click).sink(print)  # type: ignore[misc]  # MISTAKE
    only_mistake(app, "parse_json(Click) takes str | bytes, but line ", "leave it out")


def total(rows: list[Click]) -> list[float]:
    return [row.ms for row in rows]


def test_map_many_is_compared_by_the_items_of_its_list() -> None:
    app, items = started()
    items.map_many(total).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "map_many(total) takes Click, but line ")


def test_map_many_of_a_row_function_is_a_mistake() -> None:
    app, items = started()
    items.map_many(double).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "is given a list of rows", "list[int]")


def test_a_function_called_instead_of_passed_is_a_mistake() -> None:
    app, items = started()
    items.map(double(1)).sink(print)  # type: ignore[call-overload]  # MISTAKE
    only_mistake(app, "map was given int 2", ".map(f), not .map(f())")


def nothing(row: int) -> None:
    return None


def test_a_map_annotated_to_give_none_is_a_mistake() -> None:
    app, items = started()
    items.map(nothing).sink(print)  # MISTAKE
    only_mistake(app, "map(nothing) is annotated to return None", ".sink(f)")


def test_what_comes_behind_a_map_that_gives_none_is_not_blamed_too() -> None:
    app, items = started()
    items.map(nothing).stage("x").map(score).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "map(nothing) is annotated to return None")


def test_a_filter_annotated_to_give_none_is_a_mistake() -> None:
    app, items = started()
    items.filter(nothing).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "filter(nothing) is annotated to return None", "True or False")


class Nothing:
    def __call__(self, row: int) -> None:
        return None


def test_a_class_annotated_to_give_none_is_a_mistake() -> None:
    app, items = started()
    items.map(Nothing).sink(print)  # MISTAKE
    only_mistake(app, "map(Nothing) is annotated to return None")


def test_a_sink_function_may_give_none() -> None:
    app, items = started()
    items.sink(nothing)
    assert list(app.check()) == []


async def later(row: int) -> bool:
    return True


async def texts(row: int) -> list[str]:
    return []


def test_async_in_map_is_none() -> None:
    app, items = started()
    items.map(later).sink(print)
    assert list(app.check()) == []


def test_async_in_filter_is_a_mistake() -> None:
    app, items = started()
    items.filter(later).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "filter(later) is async, but filter does not await it: a coroutine is always true", ".map(f)")


def test_async_in_flat_map_is_a_mistake() -> None:
    app, items = started()
    items.flat_map(texts).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "flat_map(texts) is async")


def test_async_in_key_by_is_a_mistake() -> None:
    app, items = started()
    items.stage("x").key_by(later).map(double).sink(print)  # MISTAKE
    only_mistake(app, "key_by(later) is async")


def test_async_in_a_sink_function_is_a_mistake() -> None:
    app, items = started()
    items.sink(later)  # MISTAKE
    only_mistake(app, "sink(later) is async")


async def stream(row: int) -> AsyncIterator[int]:
    yield row


def test_an_async_generator_is_a_mistake() -> None:
    app, items = started()
    items.map(stream).sink(print)  # MISTAKE
    only_mistake(app, "async generator")


def words(row: int) -> Iterator[str]:
    yield str(row)


def test_a_generator_function_in_map_is_a_mistake() -> None:
    app, items = started()
    items.map(words).sink(print)  # MISTAKE
    only_mistake(app, "map(words) returns a generator", ".flat_map")


class NeedsModel:
    def __init__(self, model: str, floor: float = 0.0) -> None:
        self.model = model

    def __call__(self, row: int) -> int:
        return row


def test_a_class_that_needs_arguments_is_a_mistake() -> None:
    app, items = started()
    items.map(NeedsModel).sink(print)  # MISTAKE
    only_mistake(app, "it needs model", "NeedsModel(model=...)")


def test_an_instance_with_its_arguments_is_none() -> None:
    app, items = started()
    items.map(NeedsModel("m.pkl")).sink(print)
    assert list(app.check()) == []


def columns(batch: Any) -> Any:
    return batch


def test_map_batches_without_an_annotation_is_a_mistake() -> None:
    app, items = started()
    items.map_batches(columns).sink(print)  # MISTAKE
    only_mistake(app, "does not say which columns it takes", "pyarrow.RecordBatch")


def letters(row: int) -> str:
    return str(row)


def test_flat_map_of_a_function_that_gives_a_text_is_a_mistake() -> None:
    app, items = started()
    items.flat_map(letters).sink(print)  # MISTAKE
    only_mistake(app, "flat_map(letters) returns str, but must return an iterable of rows", ".map")


def fields(row: int) -> dict[str, int]:
    return {"n": row}


def test_flat_map_of_a_function_that_gives_a_dict_is_a_mistake() -> None:
    app, items = started()
    items.flat_map(fields).sink(print)  # MISTAKE
    only_mistake(app, "flat_map(fields) returns dict[str, int], but must return an iterable of rows", ".map")


def test_flat_map_of_a_function_that_gives_one_row_is_a_mistake() -> None:
    app, items = started()
    items.flat_map(click).sink(print)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "flat_map(click) returns Click")


def maybe(row: int) -> list[int] | None:
    return None


@pytest.mark.parametrize("fn", [maybe, words, str.split, lambda row: row, several])
def test_flat_map_of_what_may_be_iterable_is_none(fn: Any) -> None:
    app, items = started()
    items.map(lambda row: row).flat_map(fn).sink(print)
    assert list(app.check()) == []


class Plain:
    pass


def test_parse_json_into_a_class_that_no_json_becomes_is_a_mistake() -> None:
    app, items = started()
    items.map(str).parse_json(Plain).sink(print)  # MISTAKE
    only_mistake(app, "parse_json(Plain): JSON cannot be decoded into a Plain", "msgspec.Struct")


def test_parse_json_into_a_union_without_tags_is_a_mistake() -> None:
    app, items = started()
    items.map(str).parse_json(Click | Visit).sink(print)  # MISTAKE
    only_mistake(app, "must be tagged", "msgspec")


class Pair(NamedTuple):
    left: str
    right: float


@dataclass
class Point:
    x: float
    y: int


@dataclass(frozen=True)
class Spot:
    x: float


class Marked(msgspec.Struct):
    marks: list[str]


def spot(n: int) -> Spot:
    return Spot(1.0)


def marked(n: int) -> Marked:
    return Marked([])


def pair(n: int) -> Pair:
    return Pair("", 1.0)


def point(n: int) -> Point:
    return Point(1.0, 1)


def test_a_key_field_that_does_not_exist_is_a_mistake_with_the_nearest() -> None:
    app, items = started()
    clicks = items.map(click)
    clicks.stage("x").key_by("usr").map(str).sink(print)  # MISTAKE
    only_mistake(app, "Click (line ", "did you mean 'user'?")


@pytest.mark.parametrize(("make", "field"), [(click, "user"), (pair, "left"), (point, "y")])
def test_a_key_field_that_exists_is_none(make: Any, field: str) -> None:
    app, items = started()
    items.map(make).stage("x").key_by(field).map(str).sink(print)
    assert list(app.check()) == []


def test_a_key_field_of_a_row_without_fields_is_a_mistake() -> None:
    app, items = started()
    items.stage("x").key_by("user").map(str).sink(print)  # MISTAKE
    only_mistake(app, "gives int", "lambda row")


def test_a_key_field_that_can_be_no_key_is_a_mistake() -> None:
    app, items = started()
    items.map(marked).stage("x").key_by("marks").map(str).sink(print)  # MISTAKE
    only_mistake(app, "field 'marks' is list[str]", "tuples")


def test_a_key_function_that_gives_no_key_is_a_mistake() -> None:
    app, items = started()
    items.stage("x").key_by(point).map(str).sink(print)  # MISTAKE
    only_mistake(app, "key_by(point) returns Point", "frozen dataclasses")


def test_numbers_and_frozen_objects_are_keys() -> None:
    app, items = started()
    items.stage("x").key_by(real).map(str).sink(print)
    items.stage("y").key_by(spot).map(str).sink(print, name="out")
    assert list(app.check()) == []


def test_a_key_that_is_not_a_function_is_a_mistake() -> None:
    app, items = started()
    items.stage("x").key_by(7).map(str).sink(print)  # type: ignore[call-overload]  # MISTAKE
    only_mistake(app, "key_by was given int 7")


def test_a_captured_variable_that_cannot_travel_is_named() -> None:
    app, items = started()
    database = sqlite3.connect(":memory:")
    items.filter(lambda n: database.execute("select ?", (n,)) is not None).sink(print)  # MISTAKE
    only_mistake(app, "filter(lambda) cannot be sent to the workers: its variable `database` (sqlite3.Conn", "open")
    database.close()


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, row: int) -> int:
        return row


def test_an_attribute_that_cannot_travel_is_named() -> None:
    app, items = started()
    items.map(Locked()).sink(print)  # MISTAKE
    only_mistake(app, "its variable `self.lock` (_thread.lock)")


def test_an_argument_of_a_partial_that_cannot_travel_is_named() -> None:
    app, items = started()
    items.map(functools.partial(lambda k, n: n, threading.Lock())).sink(print)  # MISTAKE
    only_mistake(app, "its variable `argument 1`")


def test_a_class_may_hold_what_cannot_travel_since_each_worker_makes_its_own() -> None:
    app, items = started()
    items.map(Locked).sink(print)
    assert list(app.check()) == []


def test_a_function_that_takes_much_along_is_a_warning_at_its_line() -> None:
    app, items = started()
    table = b"x" * 3_000_000
    items.map(lambda n: table[n]).sink(print)
    with pytest.warns(UserWarning, match=r"map\(lambda\) takes 2.9 MiB along") as caught:
        assert list(app.check()) == []
    assert caught[0].filename.endswith("test_mistakes_of_functions.py")


def test_a_small_function_gives_no_warning() -> None:
    app, items = started()
    items.map(lambda n: n + 1).sink(print)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(app.check()) == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"rows": 0}, "rows=0 is not a number of at least 1"),
        ({"rows": "64"}, "rows='64' is not a number of at least 1"),
        ({"rows": 64, "wait": "soon"}, "wait: 'soon' is not a duration"),
    ],
)
def test_what_a_batch_function_asks_for_is_checked(asked: dict[str, Any], told: str) -> None:
    app = ps.Pipeline("asks")
    app.source([1]).stage("model").map_many(list, **asked).sink(print)
    [found] = app.check()
    assert told in found.what


def test_workers_of_an_ordered_stage_cannot_wait_for_rows_of_several_turns() -> None:
    app = ps.Pipeline("asks")
    app.source([1]).stage("model", ordered=True, workers=2).map_many(list, rows=8, wait="5ms").sink(print)
    [found] = app.check()
    assert "wait has no effect in stage 'model'" in found.what
