"""Time-outs of plain functions: they interrupt Python code, sleeps and waits, and only the row that is late."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.errors import RowTimeout
from penstock.operator import Context
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.operators.map_many import MapMany
from penstock.operators.verb import Operator
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.process.row_failure import Failure
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.user_code.chain import Chain

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)
TIMEOUT_S = 0.08
GRACE_S = 3.0


@pytest.fixture
def timer() -> Iterator[RowTimer]:
    before = signal.getsignal(signal.SIGALRM)
    yield RowTimer(TIMEOUT_S, lambda since_ns: None)
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, before)


def run(timer: RowTimer, operator: Operator, rows: list[Any]) -> tuple[list[Any], list[Failure]]:
    chain = Chain([Node(operator, -1)], [0], label="s", timer=timer)
    chain.open(CONTEXT)
    out = Out()
    return out.rows, chain.run(rows, [out])


def sleeps() -> None:
    time.sleep(60)


def loops() -> None:
    while True:
        pass


def matches() -> None:
    re.fullmatch(r"(a+)+b", "a" * 40)


def reads() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.recv(1)


def swallows_once() -> None:
    try:
        time.sleep(60)
    except Exception:
        time.sleep(60)


@pytest.mark.parametrize("hangs", [sleeps, loops, matches, reads, swallows_once])
def test_a_row_that_hangs_is_interrupted_and_its_neighbours_are_not(
    timer: RowTimer, hangs: Callable[[], None]
) -> None:
    def f(row: int) -> int:
        if row == 2:
            hangs()
        return row

    operator = Map(f, "f.py:1")
    started = time.monotonic()
    given_back, (failure,) = run(timer, operator, [0, 1, 2, 3, 4])
    took = time.monotonic() - started
    assert given_back == [0, 1, 3, 4]
    assert (failure.index, failure.operator) == (2, operator)
    assert isinstance(failure.error, RowTimeout)
    assert TIMEOUT_S <= took < GRACE_S
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_every_row_has_the_whole_time_to_itself(timer: RowTimer) -> None:
    """Many rows that together take longer than the time-out, and one in the middle that is late."""
    patient = RowTimer(5 * TIMEOUT_S, lambda since_ns: None)

    def f(row: int) -> int:
        deadline = time.monotonic() + (60 if row == 6 else TIMEOUT_S / 2)
        while time.monotonic() < deadline:
            pass
        return row

    given_back, failures = run(patient, Map(f, ""), list(range(16)))
    assert [failure.index for failure in failures] == [6]
    assert given_back == [row for row in range(16) if row != 6]


def test_a_row_is_never_interrupted_before_its_time(timer: RowTimer) -> None:
    took: list[float] = []

    def f(row: int) -> int:
        started = time.monotonic()
        try:
            time.sleep(60)
        finally:
            took.append(time.monotonic() - started)
        return row

    run(timer, Map(f, ""), list(range(5)))
    assert len(took) == 5
    assert min(took) >= TIMEOUT_S


def test_a_row_that_gave_half_of_its_rows_and_hangs_leaves_none(timer: RowTimer) -> None:
    def f(row: int) -> Iterator[int]:
        yield row
        if row == 1:
            time.sleep(60)
        yield -row

    given_back, (failure,) = run(timer, FlatMap(f, ""), [1, 2])
    assert given_back == [2, -2]
    assert failure.index == 0


def test_a_batch_function_is_interrupted_too(timer: RowTimer) -> None:
    def f(rows: list[int]) -> list[int]:
        if 3 in rows:
            time.sleep(60)
        return rows

    given_back, failures = run(timer, MapMany(f, ""), list(range(4)))
    assert given_back == [0, 1, 2]
    assert [(failure.index, type(failure.error)) for failure in failures] == [(3, RowTimeout)]


def test_nothing_is_raised_outside_of_user_code(timer: RowTimer) -> None:
    """The engine's own code under the watch: the time passes, and nobody is interrupted."""

    def user_code() -> None:
        raise AssertionError("not called")

    deadline = time.monotonic() + 4 * TIMEOUT_S
    ticks = 0
    with timer.watching(lambda: 0, user_code.__code__):
        while time.monotonic() < deadline:
            ticks += 1
    assert ticks


def test_nothing_is_raised_while_results_are_given_out(timer: RowTimer) -> None:
    """In the program itself only the lines that call user code may be interrupted: later ones have given rows out."""

    def program() -> str:
        deadline = time.monotonic() + 4 * TIMEOUT_S
        while time.monotonic() < deadline:
            pass
        return "whole"

    with timer.watching(lambda: 0, program.__code__, frozenset()):
        assert program() == "whole"
    lines = frozenset(range(program.__code__.co_firstlineno, program.__code__.co_firstlineno + 5))
    with pytest.raises(RowTimeout), timer.watching(lambda: 0, program.__code__, lines):
        program()


def test_a_tick_that_comes_late_finds_nobody_to_interrupt(timer: RowTimer) -> None:
    with timer.watching(lambda: 0, run.__code__):
        pass
    signal.raise_signal(signal.SIGALRM)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_ticks_say_since_when_the_row_in_work_runs() -> None:
    told: list[int] = []
    before = signal.getsignal(signal.SIGALRM)
    timer = RowTimer(TIMEOUT_S, told.append)
    starts: list[int] = []

    def f(row: int) -> int:
        starts.append(time.monotonic_ns())
        deadline = time.monotonic() + TIMEOUT_S / 2
        while time.monotonic() < deadline:
            pass
        return row

    started = time.monotonic_ns()
    run(timer, Map(f, ""), [0, 1, 2])
    signal.signal(signal.SIGALRM, before)
    assert started <= told[0] <= starts[0]
    assert told == sorted(told)
    assert len(told) >= 3  # one for the batch, one for each later row
    assert told[-1] >= starts[1]
