"""Rows that only stood near: never set aside for what their neighbours, or somebody outside, did."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from engine_lines import Line

import penstock as ps
from penstock.testing import ListSink


class KillsTwiceThenUnencodable:
    """Kills its worker in two lives at one row, and gives what cannot travel for another row of the same frame."""

    def open(self, context: ps.Context) -> None:
        self.context = context

    def __call__(self, x: int) -> Any:
        if x == 10 and self.context.attempt <= 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return threading.Lock() if x in (37, 41) else x


def test_what_cannot_travel_takes_no_neighbour_with_it_after_two_kills(where: Any) -> None:
    app, out = ps.Pipeline("innocent"), ListSink[Any]()
    app.source(range(200), name="numbers").stage("work").map(KillsTwiceThenUnencodable).sink(out, name="out")
    app.run(**where)
    assert out.rows == [x for x in range(200) if x not in (37, 41)]
    letters = ps.read_dead_letters("innocent", state_dir=where["state_dir"])
    assert [letter.row for letter in letters] == [37, 41]


class SignalledOnce:
    """Tells its process and waits, in its first life, until somebody's signal ends it."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def open(self, context: ps.Context) -> None:
        self.context = context

    def __call__(self, x: int) -> int:
        if x == 5 and self.context.attempt == 1:
            self.line.say(os.getpid())
            time.sleep(60)
        return x


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGABRT, signal.SIGPROF])
def test_a_signal_from_outside_is_nobodys_fault(number: signal.Signals, where: Any, heard: Line) -> None:
    app, out = ps.Pipeline("signalled"), ListSink[int]()
    app.source(range(20), name="numbers").stage("work").map(SignalledOnce(heard)).sink(out, name="out")
    with app.start(**where) as handle:
        os.kill(int(heard.hear()), number)
        report = handle.wait(timeout="60s")
    assert out.rows == list(range(20))
    assert (report.dead_letters, report.stages["work"].restarts) == (0, 1)


def test_a_row_that_cannot_be_pickled_and_raises_is_set_aside_although_it_may_be_tried_again(where: Any) -> None:
    app, out = ps.Pipeline("unpicklable"), ListSink[Any]()
    app.source(_locks, name="locks", retries=5, retry_delay="1ms").map(_raises_on_locks).sink(out, name="out")
    report = app.run(**where)
    assert out.rows == [1, 2]
    [letter] = ps.read_dead_letters("unpicklable", state_dir=where["state_dir"])
    assert letter.error.startswith("OSError: try later; it cannot be retried later: TypeError: cannot pickle")
    assert report.stages["locks"].restarts == 0


def _locks() -> Any:
    yield 1
    yield threading.Lock()
    yield 2


def _raises_on_locks(row: Any) -> Any:
    if not isinstance(row, int):
        raise OSError("try later")
    return row


class KilledOnce:
    def open(self, context: ps.Context) -> None:
        self.context = context

    def __call__(self, x: int) -> int:
        if x == 50 and self.context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x


@pytest.mark.parametrize("name", ["retries", "journal", "lock", "work", "bell", "failure", "log", "stdout", "page"])
def test_a_stage_may_have_the_name_of_a_file_of_the_engine(name: str, where: Any) -> None:
    app, out = ps.Pipeline("named"), ListSink[int]()
    app.source(range(100), name="numbers").stage(name).map(KilledOnce).sink(out, name="out")
    report = app.run(**where)
    assert out.rows == list(range(100))
    assert report.stages[name].restarts == 1


class Counted:
    """Takes a while, and says how many rows it was called for."""

    def __init__(self, calls: Path) -> None:
        self.calls = calls

    def __call__(self, x: int) -> int:
        time.sleep(0.2)
        with self.calls.open("ab") as file:
            file.write(b".")
        return x


def test_slow_rows_are_sent_before_many_of_them_are_done(where: Any, tmp_path: Path) -> None:
    calls, seen = tmp_path / "calls", tmp_path / "seen"

    def note(row: int) -> None:
        with seen.open("a") as file:
            file.write(f"{calls.stat().st_size}\n")

    app = ps.Pipeline("slow")
    app.source(range(30), name="numbers").stage("work").map(Counted(calls)).sink(note, name="out")
    app.run(**where)
    assert int(seen.read_text().split()[0]) < 10


def test_retries_asked_for_by_a_verdict_have_an_end(where: Any) -> None:
    def busy(x: int) -> int:
        if x == 3:
            raise ps.Retry("503", after="1ms")
        return x

    app, out = ps.Pipeline("busy"), ListSink[int]()
    app.source(range(10), name="numbers").stage("work", retries=2).map(busy).sink(out, name="out")
    report = app.run(**where)
    assert (report.stages["work"].retries, report.dead_letters) == (2, 1)
    [letter] = ps.read_dead_letters("busy", state_dir=where["state_dir"])
    assert (letter.row, letter.attempts) == (3, 3)
