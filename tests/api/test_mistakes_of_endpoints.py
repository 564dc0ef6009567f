"""Mistakes in what is given to `source` and `sink`, each with its line."""

from __future__ import annotations

import array
import collections
import functools
import io
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from expected_mistakes import only_mistake

import penstock as ps
from penstock.connectors import stdio
from penstock.errors import ExtraMissing
from penstock.sink import Delivery, Writer
from penstock.source import Reader


class Table(ps.Sink[object]):
    """A sink that has a place, and may have problems."""

    def __init__(self, place: str = "db", *, slot: str | None = None, problems: Sequence[str] = ()) -> None:
        self.place, self.slot, self.problems = place, slot, problems

    @property
    def target(self) -> str:
        return f"table {self.place}"

    @property
    def delivery(self) -> Delivery:
        return Delivery.KEYED

    @property
    def shared_slot(self) -> str | None:
        return self.slot

    def check_sink(self) -> Sequence[str]:
        return self.problems

    def writer(self, position: Any, context: ps.Context) -> Writer[object]:
        raise NotImplementedError


class Feed(ps.Source[int]):
    def __init__(self, *, missing: str | None = None, problems: Sequence[str] = ()) -> None:
        self.missing, self.problems = missing, problems

    def check_source(self) -> Sequence[str]:
        if self.missing is not None:
            raise ExtraMissing(self.missing, "feeds")
        return self.problems

    def open(self, split: Any, position: Any, context: ps.Context) -> Reader[int]:
        raise NotImplementedError


@pytest.mark.parametrize(
    "method",
    [
        [].append, set().add, {}.update, {}.setdefault, collections.deque().append, collections.Counter().update,
        collections.UserList().append, array.array("l").append, io.StringIO().write, functools.partial([].insert, 0),
    ],
)
def test_a_method_that_fills_a_local_object_is_not_a_sink(method: Any) -> None:
    """It ran in a worker, on a copy, and the object stayed as it was."""
    app = ps.Pipeline("app")
    app.source([1, 2]).sink(method)
    [found] = [m for m in app.check() if "each worker fills its own copy" in m.what]
    assert "iterate over .results()" in found.remedy


class Log(list[Any]):
    def write(self, row: Any) -> None:
        print(row)


@pytest.mark.parametrize("function", [print, Log().write, os.environ.get, sys.stdout.write])
def test_a_function_that_leaves_something_is_a_sink(function: Any) -> None:
    app = ps.Pipeline("app")
    app.source([1, 2]).sink(function)
    assert [m for m in app.check() if "each worker fills its own copy" in m.what] == []


def numbers() -> Iterator[int]:
    yield 1


def up_to(limit: int) -> Iterator[int]:
    yield from range(limit)


async def drip() -> AsyncIterator[int]:
    yield 1


def finished(source: Any) -> ps.Pipeline:
    app = ps.Pipeline("app")
    stream: ps.Stream[object] = app.source(source, name="x")  # MISTAKE
    stream.sink(print)
    return app


@pytest.mark.parametrize(
    ("source", "what", "remedy"),
    [
        ("a.log", "the str 'a.log'", "files.lines('a.log')"),
        (Path("a.log"), "'a.log'", "files.lines('a.log')"),
        (b"abc", "given bytes", "a list of rows"),
        (bytearray(b"abc"), "given bytearray", "a list of rows"),
        (numbers(), "a generator object", "without calling it"),
        ({"a": 1}, "given a dict", "list"),
        ({1, 2}, "given a set", "list(x)"),
        (7, "given a value of type int", "a connector"),
        (None, "given None", "a connector"),
        (stdio.stdout(), "stdout is a sink", ".sink"),
        (Feed, "the class Feed", "Feed(...)"),
        (Table, "the class Table", "Table(...)"),
        (up_to, "but needs limit", "functools.partial(up_to, limit=...)"),
        (drip, "source(drip) is async", "plain function"),
    ],
)
def test_what_is_not_a_source_is_a_mistake_with_what_to_pass_instead(source: object, what: str, remedy: str) -> None:
    [found] = finished(source).check()
    assert what in found.what
    assert remedy in found.remedy
    assert found.line == finished.__code__.co_firstlineno + 2


@pytest.mark.parametrize(
    "source", [range(3), [1], (1,), numbers, functools.partial(up_to, 3), lambda: [1], Feed(), stdio.stdin()]
)
def test_sequences_callables_and_connectors_are_sources(source: object) -> None:
    assert list(finished(source).check()) == []


def started() -> tuple[ps.Pipeline, ps.Stream[int]]:
    app = ps.Pipeline("app")
    return app, app.source([1, 2, 3])


def test_a_source_as_sink_is_a_mistake() -> None:
    app, items = started()
    items.sink(stdio.stdin())  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "stdin is a source", "app.source")


def test_a_class_as_sink_is_a_mistake() -> None:
    app, items = started()
    items.sink(Table)  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "the class Table", "Table(...)")


def test_a_sink_function_called_instead_of_passed_is_a_mistake() -> None:
    app, items = started()
    items.sink(print("now"))  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "given None", ".sink(f), not .sink(f())")


def test_what_is_not_a_sink_is_a_mistake() -> None:
    app, items = started()
    items.sink("out.csv")  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "sink was given a value of type str", "a connector or a function")


def test_what_a_source_says_of_itself_is_a_mistake() -> None:
    app = ps.Pipeline("app")
    app.source(Feed(problems=["nobody there; switch it on"])).sink(print)  # MISTAKE
    only_mistake(app, "feed: nobody there", "switch it on")


def test_what_a_sink_says_of_itself_is_a_mistake() -> None:
    app, items = started()
    items.sink(Table(problems=["no such database; create it"]))  # MISTAKE
    only_mistake(app, "table: no such database", "create it")


def test_a_missing_package_is_a_mistake_that_says_how_to_install_it() -> None:
    app = ps.Pipeline("app")
    app.source(Feed(missing="pyfeed")).sink(print)  # MISTAKE
    only_mistake(app, "pyfeed is not installed", "penstock[feeds]")


def test_one_target_written_by_two_sinks_is_a_mistake() -> None:
    app, items = started()
    items.sink(Table(), name="a")
    items.sink(Table(), name="b")  # MISTAKE
    only_mistake(app, "already writes to table db", "merge")


def test_what_is_not_a_file_may_be_written_to_twice() -> None:
    app, items = started()
    items.sink(print, name="a")
    items.sink(print, name="b")
    items.sink(ps.discard(), name="c")
    items.sink(ps.discard(), name="d")
    assert list(app.check()) == []


class Both(Table, Feed):
    """A file: read or written, followed only where it is read."""

    def __init__(self, *, follow: bool) -> None:
        super().__init__()
        self.missing, self.follow = None, follow

    @property
    def sink_label(self) -> str:
        return "written"

    def check_sink(self) -> Sequence[str]:
        return ["follow=True has no effect on a sink; leave it out"] if self.follow else []


def test_what_has_both_roles_is_checked_and_named_as_what_it_is_used_for() -> None:
    app = ps.Pipeline("app")
    items = app.source(Both(follow=True))
    items.sink(Both(follow=True))  # MISTAKE
    only_mistake(app, "written: follow=True has no effect on a sink", "leave it out")


def test_an_endpoint_of_both_roles_serves_in_either() -> None:
    app = ps.Pipeline("app")
    app.source(Both(follow=True)).sink(Both(follow=False))
    assert list(app.plan().stages) == ["both", "written"]


def test_a_sink_with_a_shared_slot_cannot_be_fused() -> None:
    app, items = started()
    items.stage("x").map(str).sink(Table(slot="db"), fused=True)  # MISTAKE
    only_mistake(app, "cannot be fused: all sinks on db", "leave out fused")


def test_a_sink_that_cannot_travel_is_a_mistake() -> None:
    app, items = started()
    table = Table()
    table.lock = threading.Lock()  # type: ignore[attr-defined]
    items.sink(table)  # MISTAKE
    only_mistake(app, "its variable `self.lock`")


def test_items_that_cannot_travel_are_a_mistake() -> None:
    app = ps.Pipeline("app")
    app.source([threading.Lock()]).sink(print)  # MISTAKE
    only_mistake(app, "source(items) cannot be sent")
