"""Rows that kill, hang or outlast their worker: found, set aside, and the rest of their batch goes through."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from engine_lines import Line

import penstock as ps
from penstock.testing import ListSink

ROWS = range(500)
POISON = 321


def _leave(x: int) -> None:
    os._exit(3)


def _segfault(x: int) -> None:
    ctypes.string_at(0)


def _kill_itself(x: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Poisonous:
    """Does something deadly for one row."""

    def __init__(self, deed: Callable[[int], None]) -> None:
        self.deed = deed

    def __call__(self, x: int) -> int:
        if x == POISON:
            self.deed(x)
        return x


def _run(deed: Callable[[int], None], where: Any, **stage: Any) -> tuple[list[int], list[ps.DeadLetter], ps.Report]:
    app, out = ps.Pipeline("deadly"), ListSink[int]()
    app.source(ROWS, name="numbers").stage("work", **stage).map(Poisonous(deed)).sink(out, name="out")
    report = app.run(**where)
    return list(out.rows), list(ps.read_dead_letters("deadly", state_dir=where["state_dir"])), report


@pytest.mark.parametrize(
    ("deed", "told"),
    [(_leave, "exit code 3"), (_segfault, "SIGSEGV"), (_kill_itself, "SIGKILL")],
    ids=["exit", "segfault", "kill"],
)
def test_a_row_that_kills_its_worker_is_set_aside_and_the_others_go_through(
    deed: Callable[[int], None], told: str, where: Any
) -> None:
    rows, letters, report = _run(deed, where, retries=5)
    assert rows == [x for x in ROWS if x != POISON]
    [letter] = letters
    assert (letter.stage, letter.row) == ("work", POISON)
    assert "killed its worker" in letter.error and told in letter.error
    assert report.outcome == "finished"
    assert report.stages["work"].restarts >= 1


def test_a_row_that_kills_its_worker_is_skipped_where_errors_are(where: Any) -> None:
    rows, letters, report = _run(_leave, where, on_error=ps.skip())
    assert rows == [x for x in ROWS if x != POISON]
    assert letters == []
    assert report.stages["work"].skipped == 1


def test_a_row_that_kills_its_worker_fails_a_stage_that_wants_no_errors(where: Any) -> None:
    with pytest.raises(ps.PipelineFailed, match=r"killed its worker .*the row was 321"):
        _run(_leave, where, on_error=ps.fail())


def _sleep(x: int) -> None:
    time.sleep(60)


def _spin(x: int) -> None:
    while True:
        pass


def _catastrophic(x: int) -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


@pytest.mark.parametrize("deed", [_sleep, _spin, _catastrophic], ids=["sleep", "python", "regex"])
def test_a_row_past_its_timeout_is_interrupted_wherever_it_is(deed: Callable[[int], None], where: Any) -> None:
    rows, letters, report = _run(deed, where, timeout="200ms")
    assert rows == [x for x in ROWS if x != POISON]
    [letter] = letters
    assert letter.row == POISON
    assert "RowTimeout: the row took longer than 0.2 s" in letter.error
    assert deed.__name__ in letter.traceback
    assert report.stages["work"].restarts == 0


def _hang(x: int) -> None:
    # As a library does that waits with signals blocked.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(60)


def test_a_row_that_cannot_be_interrupted_is_blamed_and_its_worker_replaced(where: Any) -> None:
    rows, letters, report = _run(_hang, where, timeout="200ms")
    assert rows == [x for x in ROWS if x != POISON]
    [letter] = letters
    assert letter.row == POISON
    assert "hung its worker" in letter.error
    assert report.stages["work"].restarts >= 1


def test_a_row_that_swallows_its_timeout_is_blamed_in_the_end(where: Any) -> None:
    rows, letters, _ = _run(_stubborn, where, timeout="200ms")
    assert rows == [x for x in ROWS if x != POISON]
    assert [letter.row for letter in letters] == [POISON]


def _stubborn(x: int) -> None:
    while True:
        try:
            time.sleep(60)
        except ps.RowTimeout:
            continue


def test_a_child_that_user_code_forked_does_not_hold_up_the_successor(where: Any, heard: Line) -> None:
    def fork_and_die(x: int) -> None:
        child = os.fork()
        if child == 0:
            heard.say(os.getpid())
            time.sleep(600)
            os._exit(0)
        os._exit(3)

    began = time.monotonic()
    rows, letters, _ = _run(fork_and_die, where)
    assert time.monotonic() - began < 60
    assert rows == [x for x in ROWS if x != POISON]
    assert [letter.row for letter in letters] == [POISON]
    while not heard.silent():
        assert not _is_alive(int(heard.hear())), "what user code forked outlives the run"


def test_a_program_that_user_code_started_does_not_outlive_the_run(where: Any, heard: Line) -> None:
    def start(x: int) -> None:
        heard.say(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)

    rows, _, _ = _run(start, where)
    assert rows == list(ROWS)
    assert not _is_alive(int(heard.hear()))


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_rows_are_blamed_in_every_stage_of_their_own(where: Any) -> None:
    app, out = ps.Pipeline("deadly"), ListSink[int]()
    app.source(ROWS, name="numbers").map(Poisonous(_leave)).stage("second", workers=2).map(_leave_on_seven).sink(
        out, name="out"
    )
    app.run(**where)
    assert sorted(out.rows) == [x for x in ROWS if x not in (7, POISON)]
    letters = ps.read_dead_letters("deadly", state_dir=where["state_dir"])
    assert sorted((letter.stage, letter.row) for letter in letters) == [("numbers", POISON), ("second", 7)]


def _leave_on_seven(x: int) -> int:
    if x == 7:
        os._exit(4)
    return x
