"""Blocks of lines are gathered for batch functions; nothing is read too far, nothing comes twice."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.batch import Lines
from penstock.slot.input.gathered import GatheringReader
from penstock.source import EndOfSplit, Reader


class Given(Reader[Any]):
    """Gives what it was given, one after the other; None is "nothing now"."""

    def __init__(self, *batches: Any) -> None:
        self._batches, self._at = batches, 0

    def read(self) -> Any:
        if self._at == len(self._batches):
            raise EndOfSplit
        self._at += 1
        return self._batches[self._at - 1]

    def position(self) -> int:
        return self._at


def block(first: int, *lines: str) -> Lines:
    return Lines("".join(f"{line}\n" for line in lines).encode(), first)


def test_blocks_come_together_until_there_are_enough_rows() -> None:
    reader = GatheringReader(Given(block(1, "a", "b"), block(3, "c"), block(4, "d"), block(5, "e")), 4)
    gathered = reader.read()
    assert isinstance(gathered, Lines)
    assert (gathered.split(), gathered.first, gathered.count, reader.position()) == (["a", "b", "c", "d"], 1, 4, 3)


def test_a_block_is_left_for_later_that_would_be_too_much_if_it_is_like_the_last() -> None:
    reader = GatheringReader(Given(block(1, "a", "b"), block(3, "c", "d")), 3)
    gathered = reader.read()
    assert isinstance(gathered, Lines) and (gathered.split(), reader.position()) == (["a", "b"], 1)


def test_what_was_read_before_the_end_comes_first() -> None:
    reader = GatheringReader(Given(block(1, "a"), block(2, "b")), 100)
    gathered = reader.read()
    assert isinstance(gathered, Lines) and gathered.split() == ["a", "b"]
    with pytest.raises(EndOfSplit):
        reader.read()


def test_nothing_is_waited_for() -> None:
    reader = GatheringReader(Given(block(1, "a"), None, block(2, "b")), 100)
    first, then = reader.read(), reader.read()
    assert isinstance(first, Lines) and first.split() == ["a"]
    assert isinstance(then, Lines) and then.split() == ["b"]


def test_a_batch_of_another_shape_comes_next_and_the_position_is_before_it() -> None:
    reader = GatheringReader(Given(block(1, "a"), ["b"], block(2, "c")), 100)
    first = reader.read()
    assert isinstance(first, Lines) and (first.split(), reader.position()) == (["a"], 1)
    assert (reader.read(), reader.position()) == (["b"], 2)


def test_a_block_without_a_line_end_is_not_joined_to_the_next() -> None:
    reader = GatheringReader(Given(Lines(b"a", 1), block(2, "b")), 100)
    first = reader.read()
    assert isinstance(first, Lines) and first.split() == ["a"]


def test_line_numbers_are_unknown_where_a_block_does_not_know_them() -> None:
    gathered = GatheringReader(Given(block(1, "a"), block(0, "b")), 100).read()
    assert isinstance(gathered, Lines) and gathered.first == 0
