"""Code of the user's that is no function of a stage: unpickling, pickling, words of rows and errors, keys.

What it raises is an error of its row; a row with which it kills or hangs the worker is set aside; the others are not.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

import penstock as ps
from penstock.testing import ListSink

BAD = 37
ROWS = range(100)


def _raise() -> None:
    raise RuntimeError("no good")


def _leave() -> None:
    raise SystemExit(3)


def _exit() -> None:
    os._exit(3)


def _segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang() -> None:
    while True:
        time.sleep(0.01)


DEEDS = [_raise, _leave, _exit, _segfault, _hang]
KILLS = [_exit, _segfault, _hang]


class Deadly:
    """Does a deed when its own code runs at one place."""

    def __init__(self, n: int, place: str, deed: Callable[[], None]) -> None:
        self.n, self.place, self.deed = n, place, deed

    def _at(self, place: str) -> None:
        if self.n == BAD and self.place == place:
            self.deed()

    def __getstate__(self) -> dict[str, Any]:
        self._at("pickling")
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._at("unpickling")

    def __repr__(self) -> str:
        self._at("repr")
        return f"Deadly({self.n})"


class DeadlyError(Exception):
    """Does a deed when it is put into words."""

    def __init__(self, place: str, deed: Callable[[], None]) -> None:
        self.place, self.deed = place, deed

    def __str__(self) -> str:
        if self.place == "str":
            self.deed()
        return "deadly"

    @property
    def __notes__(self) -> list[str]:
        if self.place == "notes":
            self.deed()
        return []


class Give:
    def __init__(self, place: str, deed: Callable[[], None]) -> None:
        self.place, self.deed = place, deed

    def __call__(self, n: int) -> Deadly:
        return Deadly(n, self.place, self.deed)


class Take:
    """Gives numbers back; raises for the bad one, where words of rows and errors are what is deadly."""

    def __init__(self, place: str, deed: Callable[[], None]) -> None:
        self.place, self.deed = place, deed

    def __call__(self, row: Deadly) -> int:
        if row.n == BAD and self.place in ("repr", "str", "notes"):
            raise DeadlyError(self.place, self.deed)
        return row.n


def _run(place: str, deed: Callable[[], None], where: Any, **stage: Any) -> tuple[list[int], ps.DeadLetter]:
    app, out = ps.Pipeline("around"), ListSink[int]()
    timeout: Any = {"timeout": "300ms"} if deed is _hang else {}
    given = app.source(ROWS, name="numbers").stage("give", **timeout).map(Give(place, deed))
    given.stage("take", **timeout, **stage).map(Take(place, deed)).sink(out, name="out")
    report = app.run(**where)
    assert report.outcome == "finished"
    [letter] = ps.read_dead_letters("around", state_dir=where["state_dir"])
    return sorted(out.rows), letter


PLACES = {"unpickling": "take", "pickling": "give", "repr": "take", "str": "take", "notes": "take"}


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__[1:])
@pytest.mark.parametrize("place", PLACES)
def test_the_row_is_set_aside_and_all_others_are_processed(place: str, deed: Callable[[], None], where: Any) -> None:
    rows, letter = _run(place, deed, where)
    assert rows == [n for n in ROWS if n != BAD]
    assert letter.stage == PLACES[place]
    if deed in KILLS:
        assert ("hung its worker" if deed is _hang else "killed its worker") in letter.error
    if place == "pickling":
        assert letter.row == BAD


def test_an_undecodable_row_keeps_its_bytes(where: Any) -> None:
    _, letter = _run("unpickling", _raise, where)
    assert letter.error == "the row cannot be decoded: RuntimeError: no good"
    assert "in _raise" in letter.traceback
    with pytest.raises(RuntimeError, match="no good"):
        pickle.loads(letter.row_pickle)
    assert "not decoded" in letter.row


def test_a_row_whose_words_kill_keeps_its_bytes(where: Any) -> None:
    _, letter = _run("repr", _exit, where)
    row = pickle.loads(letter.row_pickle)
    assert isinstance(row, Deadly) and row.n == BAD


@pytest.mark.parametrize("deed", [_raise, _exit], ids=["raise", "exit"])
def test_a_waiting_row_that_cannot_be_brought_back_is_set_aside(deed: Callable[[], None], where: Any) -> None:
    app, out = ps.Pipeline("around"), ListSink[int]()
    deadly = app.source(_numbers_and_one_deadly(deed), name="numbers", retries=2, retry_delay="1ms")
    deadly.map(_fail_on_deadly).sink(out, name="out")
    app.run(**where)
    assert sorted(out.rows) == [1, 2]
    [letter] = ps.read_dead_letters("around", state_dir=where["state_dir"])
    assert letter.row_pickle
    assert ("killed its worker" if deed is _exit else "cannot be decoded") in letter.error


class _numbers_and_one_deadly:  # noqa: N801
    def __init__(self, deed: Callable[[], None]) -> None:
        self.deed = deed

    def __call__(self) -> Any:
        yield 1
        yield Deadly(BAD, "unpickling", self.deed)
        yield 2


def _fail_on_deadly(row: Any) -> int:
    if isinstance(row, Deadly):
        raise OSError("try later")
    return int(row)


class Key:
    def __init__(self, deed: Callable[[], None]) -> None:
        self.deed = deed

    def __call__(self, n: int) -> int:
        if n == BAD:
            self.deed()
        return n % 7


def _same(n: int) -> int:
    return n


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__[1:])
def test_a_key_function_is_judged_as_its_stage_is(deed: Callable[[], None], where: Any) -> None:
    app, out = ps.Pipeline("around"), ListSink[int]()
    timeout: Any = {"timeout": "300ms"} if deed is _hang else {}
    keyed = app.source(ROWS, name="numbers").stage("keyed", workers=2, **timeout).key_by(Key(deed))
    keyed.map(_same).sink(out, name="out")
    assert app.run(**where).outcome == "finished"
    assert sorted(out.rows) == [n for n in ROWS if n != BAD]
    [letter] = ps.read_dead_letters("around", state_dir=where["state_dir"])
    assert letter.row == BAD
    if deed in (_raise, _leave, _hang):
        assert letter.stage == "keyed" and "key_by" in letter.operator
    if deed is _hang:
        assert "RowTimeout: the row took longer than 0.3 s" in letter.error


def test_a_key_function_may_drop_its_row(where: Any) -> None:
    def key(n: int) -> int:
        if n == BAD:
            raise ps.Drop
        return n % 7

    app, out = ps.Pipeline("around"), ListSink[int]()
    app.source(ROWS, name="numbers").stage("keyed", workers=2).key_by(key).map(_same).sink(out, name="out")
    report = app.run(**where)
    assert sorted(out.rows) == [n for n in ROWS if n != BAD]
    assert report.dead_letters == 0


def test_a_key_function_that_is_wrong_for_every_row_is_given_up(where: Any) -> None:
    def key(n: int) -> int:
        raise KeyError("usr")

    app = ps.Pipeline("around")
    app.source(range(1000), name="numbers").stage("keyed", workers=2).key_by(key).map(_same).sink(print, name="out")
    with pytest.raises(ps.PipelineFailed, match="KeyError: 'usr'") as failed:
        app.run(**where)
    assert failed.value.stage == "keyed"
