"""What slots are told of durable commits: never too much, all of it, also when whoever tells them is killed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import QueueDamaged
from penstock.memory_files import MemoryFiles
from penstock.slot.input.acknowledgements import MOST, Acknowledgements
from penstock.slot.records.durable_word import DurableWord
from penstock.slot.turn.durable_commits import DurableCommits

pytestmark = pytest.mark.interpreted  # fakes inside

WORD = Path("/run/slots/a.0/durable")


def word(files: MemoryFiles, number: int = 0) -> DurableWord:
    DurableWord.create(WORD, number, files)
    return DurableWord(WORD, files.share)


class End:
    """An input or a sink."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.awaits = 0

    def committed(self, number: int) -> None:
        self.told.append(("committed", number))

    def durable(self, number: int) -> None:
        self.told.append(("durable", number))


def of_one_stage(last: int, found: DurableWord | None, asked: list[int]) -> tuple[DurableCommits, Any, End]:
    stage: Any = SimpleNamespace(inputs=End(), sink_output=End())
    commits = DurableCommits([stage], last, found, lambda: asked.append(1))
    commits.begin()
    return commits, stage, stage.sink_output


def test_the_word_never_goes_back_and_a_flipped_bit_is_damage() -> None:
    files = MemoryFiles()
    found = word(files, 7)
    assert found.number == 7
    assert not found.raise_to(7)
    assert not found.raise_to(6)
    assert found.raise_to(8)
    assert DurableWord(WORD, files.share).number == 8
    share = files.share(WORD, "the word")
    for bit in range(64):
        share.words[0] ^= 1 << bit
        with pytest.raises(QueueDamaged):
            found.number  # noqa: B018
        share.words[0] ^= 1 << bit


def test_without_a_store_what_is_committed_is_durable() -> None:
    commits, stage, sink = of_one_stage(3, None, [])
    commits.committed(stage)
    assert sink.told == [("committed", 3), ("durable", 3), ("committed", 4), ("durable", 4)]
    assert not commits.has_news


def test_a_life_begins_with_what_is_durable_and_is_told_of_each_checkpoint_once() -> None:
    found = word(MemoryFiles(), 2)
    commits, stage, sink = of_one_stage(3, found, [])
    assert sink.told == [("committed", 3), ("durable", 2)]
    commits.committed(stage)
    found.raise_to(4)
    assert commits.has_news
    assert commits.look()
    assert not commits.look()
    commits.committed(stage)
    assert sink.told[2:] == [("committed", 4), ("durable", 4), ("committed", 5)]


def test_a_stage_that_waits_does_not_finish_before_its_commit_is_durable_and_asks_for_a_checkpoint_once() -> None:
    found, asked = word(MemoryFiles()), list[int]()
    commits, stage, sink = of_one_stage(0, found, asked)
    assert not commits.holds(stage)
    commits.committed(stage)
    sink.awaits = 1
    assert commits.holds(stage)
    assert commits.holds(stage)
    assert asked == [1]
    found.raise_to(1)
    commits.look()
    assert not commits.holds(stage)


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=60))
def test_the_furthest_position_that_is_durable_is_acknowledged_once(steps: list[tuple[int, bool]]) -> None:
    waiting, number, told = Acknowledgements(), 0, 0
    for more, durable in steps:
        number += more
        waiting.add(number, number * 10)
        if durable:
            found = waiting.covered(number - 1)
            below = range(told + 1, number)
            assert found is None or found.position == found.number * 10
            assert found is None or found.number in below
            told = max(told, found.number if found is not None else 0)
            assert waiting.newest == number
            assert waiting.covered(number - 1) is None


def test_a_store_that_fails_for_hours_takes_no_memory_and_what_is_acknowledged_then_is_never_too_much() -> None:
    waiting = Acknowledgements()
    for number in range(1, 50 * MOST):
        waiting.add(number, number)
    assert waiting.newest == 50 * MOST - 1
    assert len(waiting._waiting) <= MOST
    found = waiting.covered(30 * MOST)
    assert found is not None
    assert found.position <= 30 * MOST
    found = waiting.covered(50 * MOST - 100)  # the next checkpoint covers all but what came while it was taken
    assert found is not None
    assert found.position == 50 * MOST - 100
    found = waiting.covered(50 * MOST)
    assert found is not None
    assert found.position == 50 * MOST - 1
