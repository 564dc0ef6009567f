"""The layout: the same for the same pipeline, another one for what queues depend on, deaf to code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

import msgspec
import pytest

import penstock as ps
from penstock.plan.fingerprint import described_type, difference, fingerprint


class Old(msgspec.Struct):
    user: str


class New(msgspec.Struct):
    user: str
    page: str


class Tree(msgspec.Struct):
    children: list[Tree]


def double(n: int) -> int:
    return 2 * n


def triple(n: int) -> int:
    return 3 * n


def layout(
    *, fn: Callable[[int], Any] = double, name: str = "x", key: str | None = None, items: int = 10, **options: Any
) -> dict[str, str]:
    app = ps.Pipeline("app")
    stage = app.source([{"a": n, "b": n} for n in range(items)]).stage(name, **options)
    (stage if key is None else stage.key_by(key)).map(lambda row: 1).map(fn).sink(print)
    return fingerprint(app.plan())


def test_code_and_options_that_no_queue_depends_on_leave_the_layout_alone() -> None:
    assert difference(layout(), layout(fn=triple, retries=3, timeout="1s", on_error=ps.skip())) == []


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({"workers": 2}, ["edge items->x: queues of 8388608 bytes -> queues of 4194304",
                          "edge x->stdout: queues of 8388608 bytes -> queues of 4194304"]),
        ({"edge": ps.Edge(memory="1 MiB")}, ["edge items->x: queues of 8388608 bytes -> queues of 1048576"]),
        ({"ordered": True}, ["stage x: unordered -> ordered"]),
        ({"key": "a"}, ["edge items->x: balance -> hash 'a'"]),
        ({"fn": str}, ["edge x->stdout: rows int -> rows str"]),
        ({"items": 11}, ["stage items: reads 10 items -> reads 11 items"]),
        ({"name": "y"}, ["stage x is gone", "edge items->x is gone", "edge x->stdout is gone",
                         "stage y is new", "edge items->y is new", "edge y->stdout is new"]),
    ],
)  # fmt: skip
def test_a_change_is_named(changed: dict[str, Any], lines: list[str]) -> None:
    found = difference(layout(), layout(**changed))
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), found


def test_a_type_is_described_down_to_its_fields() -> None:
    assert described_type(Old) == "Old(user: str)"
    assert described_type(list[New]) == "list[New(user: str, page: str)]"
    assert described_type(Old | None) == described_type(Optional[Old]) == "None | Old(user: str)"  # noqa: UP045
    assert described_type(dict[str, Any]) == "dict[str, Any]"


def test_a_type_that_contains_itself_is_described() -> None:
    assert described_type(Tree) == "Tree(children: list[Tree])"


def test_a_field_more_is_another_type() -> None:
    assert described_type(Old) != described_type(New)
