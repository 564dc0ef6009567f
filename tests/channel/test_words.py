"""Shared words: a cursor is what was published, whatever a writer died at; anything else is told."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.channel.words import MASK, TornWord, fence, load_cursor, store_cursor

cursors = st.integers(0, MASK)


def some_words() -> memoryview:
    return memoryview(bytearray(64)).cast("Q")


@given(cursors)
def test_a_cursor_comes_back(value: int) -> None:
    words = some_words()
    store_cursor(words, 0, value)
    assert load_cursor(words, 0) == value


@given(cursors, cursors, st.integers(0, 3))
def test_a_writer_that_dies_between_two_stores_leaves_the_old_or_new_cursor(old: int, new: int, stores: int) -> None:
    words, after = some_words(), some_words()
    store_cursor(words, 0, old)
    store_cursor(after, 0, new)
    for index in (1, 0, 3)[:stores]:
        words[index] = after[index]
    assert load_cursor(words, 0) == (old if stores < 2 else new)


@given(cursors, st.integers(0, 2), st.integers(0, 63))
def test_one_flipped_bit_is_told_or_harmless(value: int, word: int, bit: int) -> None:
    words = some_words()
    store_cursor(words, 0, value)
    words[(0, 1, 3)[word]] ^= 1 << bit
    if word == 0:
        with pytest.raises(TornWord):
            load_cursor(words, 0)
    else:
        assert load_cursor(words, 0) == value


def test_cursors_do_not_touch_the_words_around_them() -> None:
    words = some_words()
    words[2] = words[4] = 7
    store_cursor(words, 0, 12345)
    assert (words[2], words[4]) == (7, 7)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096) as mapped:
        words = memoryview(mapped)[:4096].cast("Q")
        yield words
        words.release()


def _publish_for_ever(path: Path) -> None:
    # Values whose halves differ, so that a torn store would show.
    with _mapped(path) as words:
        value = 0
        while True:
            value += 0x1_0000_0001
            store_cursor(words, 0, value)
            words[5] = value


def test_a_store_is_never_seen_torn_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(bytes(4096))
    with _mapped(path) as words:
        store_cursor(words, 0, 0)
        writer = multiprocessing.get_context("fork").Process(target=_publish_for_ever, args=(path,))
        writer.start()
        try:
            last, changes, began = 0, 0, time.monotonic()
            # On a busy machine the writer may get its turn late.
            while time.monotonic() < began + 1.0 or (changes <= 100 and time.monotonic() < began + 30.0):
                for _ in range(2000):
                    plain, value = words[5], load_cursor(words, 0)
                    assert plain >> 32 == plain & 0xFFFF_FFFF
                    assert value >> 32 == value & 0xFFFF_FFFF
                    assert value >= last
                    changes += value != last
                    last = value
            assert changes > 100
        finally:
            writer.kill()
            writer.join()
            writer.close()


def test_a_writer_that_moves_on_while_it_is_read_is_not_taken_for_damage() -> None:
    """The words are read apart: each read sees a later state of a writer that publishes without a pause."""

    class Moving:
        def __init__(self) -> None:
            self.words = some_words()
            self.value = 0

        def __getitem__(self, index: int) -> int:
            found = self.words[index]
            if self.value < 5:
                self.value += 1
                store_cursor(self.words, 0, self.value * 1000)
            return int(found)

    moving = Moving()
    store_cursor(moving.words, 0, 0)
    assert load_cursor(moving, 0) in range(0, 5001, 1000)  # type: ignore[arg-type]


ROUNDS = 400_000
GAME_S = 20.0
"""On a busy machine, where each waits for the other's turn on a core, the game ends earlier."""
_DONE = 256
"""The word by which the first says how many rounds there were."""


def _say_and_look(words: memoryview, seen: memoryview, me: int) -> None:
    """One side of a game: each says a number, then looks whether the other has said it."""
    mine, others, here, there = (0, 64, 128, 192) if me == 0 else (64, 0, 192, 128)
    until = time.monotonic() + GAME_S
    for number in range(1, ROUNDS + 1):
        words[here] = number
        while words[there] < number:
            # Not if this is the last round itself: the first may have said it, and ended, since the look above.
            if 0 < words[_DONE] < number:
                return
        words[mine] = number
        fence()
        seen[2 * number + me] = words[others]
        if me == 0 and (number == ROUNDS or (number % 64 == 0 and time.monotonic() > until)):
            words[_DONE] = number
            return


def test_of_two_who_say_and_then_look_at_least_one_sees_the_other() -> None:
    """Without the fence a core may look before others see what it said: a dozen times in so many rounds on x86-64."""
    words = memoryview(mmap.mmap(-1, 4096)).cast("Q")
    seen = memoryview(mmap.mmap(-1, 16 * (ROUNDS + 1))).cast("Q")
    other = os.fork()
    if other == 0:
        _say_and_look(words, seen, 1)
        os._exit(0)
    _say_and_look(words, seen, 0)
    assert os.waitpid(other, 0)[1] == 0
    rounds = words[_DONE]
    assert rounds >= 64
    missed = [n for n in range(1, rounds + 1) if seen[2 * n] < n and seen[2 * n + 1] < n]
    assert missed == []
