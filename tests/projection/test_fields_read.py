"""Which fields a function reads: whatever it is given beyond these, it does the same."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from drawn_functions import Row, functions, rows
from hypothesis import given, note, settings

from penstock.signatures.fields_read import fields_read


class Result(msgspec.Struct):
    a: int
    text: str


def compares(row: Row) -> bool:
    return 1 < row.a <= row.c


def builds(row: Row) -> Result:
    if not row.b:
        return Result(row.a, "")
    try:
        return Result(row.a, f"{row.b!r:>5}")
    finally:
        print(row.c)


def gives_several(row: Row) -> Iterator[int]:
    for number in range(row.a):
        yield number + row.c


def nothing(row: Row) -> int:
    return 1


class Adds:
    def __init__(self, more: int = 1) -> None:
        self.more = more

    def __call__(self, row: Row) -> int:
        return row.a + self.more

    def method(self, row: Row) -> str:
        return row.b


@pytest.mark.parametrize(
    ("fn", "fields"),
    [
        (compares, {"a", "c"}), (builds, {"a", "b", "c"}), (gives_several, {"a", "c"}), (nothing, set()),
        (lambda row: row.b.lower(), {"b"}), (lambda row, least=3: row.a >= least, {"a"}), (Adds, {"a"}),
        (Adds(2), {"a"}), (Adds().method, {"b"}),
    ],
)  # fmt: skip
def test_a_function_that_only_reads_fields(fn: Any, fields: set[str]) -> None:
    assert fields_read(fn, Row) == fields


kept: Any = None


def keeps_it(row: Row) -> int:
    global kept
    kept = row
    return row.a


def sets_a_field(row: Row) -> int:
    row.a = 2
    return row.a


def looks_at_its_variables(row: Row) -> int:
    return row.a + len(locals())


def is_looked_at(row: Row) -> int:
    def look() -> Any:
        frame = inspect.currentframe()
        return frame

    look()
    return row.a


def names_another(row: Row) -> int:
    other = row
    return other.a


async def awaits(row: Row) -> int:
    return row.a


class Reads(msgspec.Struct):
    a: int

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name)


@pytest.mark.parametrize(
    "fn",
    [
        keeps_it, sets_a_field, looks_at_its_variables, is_looked_at, names_another, awaits, str, Result,
        functools.partial(compares), lambda row: row, lambda row: row.both, lambda row: row.plus(1),
        lambda row: (row.a, str(row)), lambda row: row.__class__, lambda row: lambda: row.a, lambda *rows: rows[0].a,
        lambda row: row.a if row else 0, lambda row: row.missing, lambda row: {**vars(row)}, lambda: 1,
    ],
)  # fmt: skip
def test_a_function_that_may_do_more_with_its_row(fn: Any) -> None:
    assert fields_read(fn, Row) is None


def test_a_class_that_hears_of_each_reading_is_needed_whole() -> None:
    assert fields_read(lambda row: row.a, Reads) is None


def outcome(fn: Callable[[Any], Any], row: Any) -> str:
    try:
        return repr(fn(row))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@settings(max_examples=400)
@given(functions(), rows())
def test_a_function_cannot_tell_a_row_of_what_it_reads_from_the_whole_row(fn: Callable[[Any], Any], row: Row) -> None:
    read = fields_read(fn, Row)
    if read is None:
        return
    note(f"{fn.__doc__}\nreads {read}")
    made = msgspec.defstruct("Row", [(name, Any) for name in sorted(read)])
    assert outcome(fn, made(**{name: getattr(row, name) for name in read})) == outcome(fn, row)
