"""Sequences and callables as sources: every row once, from any position, and none held back."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operator import Context
from penstock.options import BATCH_ROWS
from penstock.sequences import BATCH_BYTES, CallableSource, SequenceSource, rows_of_a_batch
from penstock.source import EndOfSplit, Reader

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


def wait_for_more(reader: Reader[Any]) -> None:
    """As a worker does: sleep until the descriptor is readable."""
    descriptor = reader.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], 10.0)[0], "nothing came within 10 s"


def read_some(reader: Reader[Any]) -> list[Any]:
    """The next batch that is not empty."""
    while (batch := reader.read()) is None:
        wait_for_more(reader)
    assert isinstance(batch, list)
    return batch


def read_all(reader: Reader[Any]) -> list[Any]:
    rows: list[Any] = []
    while True:
        try:
            rows += read_some(reader)
        except EndOfSplit:
            return rows


@given(st.lists(st.integers(), max_size=50), st.integers(1, 9))
def test_parts_of_a_sequence_are_the_sequence(items: list[int], parts: int) -> None:
    source = SequenceSource(items).divided(parts)
    splits = source.splits()
    assert len(splits) == parts
    assert [row for split in splits.values() for row in read_all(source.open(split, None, CONTEXT))] == items


@given(st.integers(0, 3 * BATCH_ROWS), st.integers(0, 3))
def test_a_sequence_resumes_at_any_position_it_gave(size: int, batches: int) -> None:
    source = SequenceSource(range(size))
    reader = source.open([0, size], None, CONTEXT)
    before: list[int] = []
    for _ in range(min(batches, -(-size // BATCH_ROWS))):
        before += read_some(reader)
    assert before + read_all(source.open([0, size], reader.position(), CONTEXT)) == list(range(size))


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_callable_resumes_at_any_position(size: int, position: int) -> None:
    source = CallableSource(lambda: iter(range(size)))
    reader = source.open(None, position, CONTEXT)
    assert read_all(reader) == list(range(size))[position:]
    assert reader.position() == max(position, size) or reader.position() == position
    reader.close()


def test_many_rows_of_a_callable_come_in_order_and_its_position_counts_them() -> None:
    reader = CallableSource(lambda: range(50_000)).open(None, None, CONTEXT)
    assert read_all(reader) == list(range(50_000))
    assert reader.position() == 50_000
    reader.close()


class Gated:
    """An iterable that gives two rows, then waits to be let on."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __call__(self) -> Iterator[int]:
        yield 1
        yield 2
        assert self.gate.wait(10.0)
        yield 3


def test_rows_are_handed_over_while_the_iterator_waits_for_its_next_one() -> None:
    gated = Gated()
    reader = CallableSource(gated).open(None, None, CONTEXT)
    rows = read_some(reader)
    while len(rows) < 2:
        rows += read_some(reader)
    assert rows == [1, 2]
    assert reader.read() is None
    descriptor = reader.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], 0)[0] == []
    gated.gate.set()
    assert read_all(reader) == [3]
    reader.close()


def failing() -> Iterator[int]:
    yield 1
    raise OSError("the far side hung up")


def test_an_error_of_a_callable_comes_after_the_rows_before_it() -> None:
    reader = CallableSource(failing).open(None, None, CONTEXT)
    assert read_some(reader) == [1]
    with pytest.raises(OSError, match="hung up"):
        read_all(reader)
    reader.close()


def not_iterable() -> Any:
    return 7


def test_a_callable_that_gives_no_iterable_is_an_error() -> None:
    reader = CallableSource(not_iterable).open(None, None, CONTEXT)
    with pytest.raises(TypeError, match="not iterable"):
        read_all(reader)
    reader.close()


def test_closing_ends_the_thread_of_an_endless_callable() -> None:
    def endless() -> Iterator[int]:
        n = 0
        while True:
            yield n
            n += 1

    reader = CallableSource(endless).open(None, None, CONTEXT)
    assert read_some(reader)[0] == 0
    [thread] = [t for t in threading.enumerate() if t.name == "penstock-source"]
    reader.close()
    thread.join(10.0)
    assert not thread.is_alive()


def test_large_rows_are_read_ahead_by_their_size() -> None:
    made = []

    def large() -> Iterator[bytes]:
        for _ in range(1000):
            made.append(1)
            yield bytes(BATCH_BYTES)

    reader = CallableSource(large).open(None, None, CONTEXT)
    read_some(reader)
    assert len(made) < 100
    reader.close()


@pytest.mark.parametrize(
    ("row", "rows"),
    [(1, BATCH_ROWS), ("x" * BATCH_BYTES, 1), ({"a": "x" * BATCH_BYTES}, 1), (["x" * BATCH_BYTES], 1)],
)
def test_a_batch_has_as_many_rows_as_fit(row: object, rows: int) -> None:
    assert rows_of_a_batch(row) == rows


@pytest.mark.parametrize(
    ("items", "row_type"),
    [(range(3), int), ([1, 2], int), ([1, True], Any), (["a"], str), ([], Any), ([1, "a"], Any), (("a", "b"), str)],
)
def test_a_sequence_says_what_its_rows_are_if_they_are_all_alike(items: Any, row_type: object) -> None:
    assert SequenceSource(items).row_type == row_type


def annotated() -> Iterator[str]:
    yield "x"


def listed() -> list[tuple[int, str]]:
    return []


@pytest.mark.parametrize(("fn", "row_type"), [(annotated, str), (listed, tuple[int, str]), (lambda: [1], Any)])
def test_a_callable_says_what_its_rows_are_by_its_annotation(fn: Callable[[], Any], row_type: object) -> None:
    assert CallableSource(fn).row_type == row_type


@pytest.mark.parametrize(("fn", "label"), [(annotated, "annotated"), (Gated(), "gated"), (lambda: [1], "lambda")])
def test_a_callable_is_named_after_its_function(fn: Callable[[], Any], label: str) -> None:
    assert CallableSource(fn).label == label
