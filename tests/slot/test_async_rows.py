"""Coroutines over rows: never more at once than allowed, results in order, errors and time-outs each row's own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import RowTimeout
from penstock.operator import Context
from penstock.operators.map import Map
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.process.row_failure import Failure
from penstock.slot.user_code.async_rows import Coroutines
from penstock.slot.user_code.chain import Chain

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


def run(
    fn: Any, rows: list[Any], *, stop: bool = False, concurrency: int = 16, timeout_s: float | None = None
) -> tuple[list[Any], list[Failure]]:
    chain = Chain([Node(Map(fn, "f.py:1"), -1)], [0], label="s", coroutines=Coroutines(concurrency, timeout_s))
    chain.open(CONTEXT)
    out = Out()
    try:
        return out.rows, chain.run(rows, [out], stop_at_failure=stop)
    finally:
        for close in chain.closers():
            close()


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 8))
def test_order_is_kept_and_the_limit_is_reached_but_never_passed(delays: list[int], concurrency: int) -> None:
    running = most = 0

    async def f(row: tuple[int, int]) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(row[1]):
            await asyncio.sleep(0)
        running -= 1
        return row[0]

    given_back, failures = run(f, list(enumerate(delays)), concurrency=concurrency)
    assert given_back == list(range(len(delays)))
    assert not failures
    assert most <= concurrency
    if all(delays):
        assert most == min(concurrency, len(delays))


@given(st.lists(st.booleans(), max_size=12), st.booleans())
def test_rows_that_fail_leave_the_others_alone(bad: list[bool], stop: bool) -> None:
    async def f(row: int) -> int:
        await asyncio.sleep(0)
        if bad[row]:
            raise ValueError(row)
        return row

    given_back, failures = run(f, list(range(len(bad))), stop=stop, concurrency=3)
    places = [index for index, is_bad in enumerate(bad) if is_bad]
    until = places[0] if stop and places else len(bad)
    assert given_back == [row for row in range(until) if not bad[row]]
    assert [failure.index for failure in failures] == (places[:1] if stop else places)


def test_a_row_past_its_time_is_interrupted_where_it_waits_and_the_others_are_not() -> None:
    cleaned: list[int] = []

    async def waits_too_long(row: int) -> int:
        try:
            await asyncio.sleep(60 if row == 1 else 0)
        finally:
            cleaned.append(row)
        return row

    given_back, (failure,) = run(waits_too_long, [0, 1, 2], timeout_s=0.05)
    assert given_back == [0, 2]
    assert cleaned == [0, 2, 1]
    assert isinstance(failure.error, RowTimeout)
    assert failure.index == 1
    assert failure.operator is not None
    frames = []
    traceback = failure.error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert "waits_too_long" in frames


def test_a_time_out_of_the_functions_own_is_an_error_like_any_other() -> None:
    async def f(row: int) -> int:
        async with asyncio.timeout(0.0):
            await asyncio.sleep(60)
        return row

    _, (failure,) = run(f, [0], timeout_s=30.0)
    assert type(failure.error) is TimeoutError


def test_a_row_that_awaits_something_cancelled_fails_alone() -> None:
    async def f(row: int) -> int:
        task = asyncio.ensure_future(asyncio.sleep(60))
        if row == 1:
            task.cancel()
            await task
        task.cancel()
        return row

    given_back, (failure,) = run(f, [0, 1, 2, 3], concurrency=1)
    assert given_back == [0, 2, 3]
    assert failure.index == 1
    assert isinstance(failure.error, asyncio.CancelledError)


def test_a_coroutine_that_exits_is_its_rows_error() -> None:
    async def f(row: int) -> int:
        if row == 1:
            raise SystemExit(3)
        return row

    given_back, (failure,) = run(f, [0, 1, 2])
    assert given_back == [0, 2]
    assert isinstance(failure.error, SystemExit)


def test_each_coroutine_knows_its_own_row() -> None:
    async def f(row: str) -> tuple[str, int | None]:
        await asyncio.sleep(0)
        return row, chain.row_in_work

    chain = Chain([Node(Map(f, ""), -1)], [0], label="s", coroutines=Coroutines(4))
    chain.open(CONTEXT)
    out = Out()
    chain.run(list("abcdef"), [out])
    assert out.rows == [(letter, index) for index, letter in enumerate("abcdef")]
    assert chain.row_in_work is None
    for close in chain.closers():
        close()


@pytest.mark.parametrize("rows", [[], [1]])
def test_few_rows_need_no_more_tasks_than_rows(rows: list[int]) -> None:
    async def f(row: int) -> int:
        return len(asyncio.all_tasks())

    given_back, _ = run(f, rows, concurrency=100)
    assert given_back == [1] * len(rows)


def test_what_a_row_sets_in_its_context_no_other_row_sees() -> None:
    seen: contextvars.ContextVar[int] = contextvars.ContextVar("seen", default=-1)

    async def f(row: int) -> int:
        before = seen.get()
        seen.set(row)
        await asyncio.sleep(0.001 * (row % 3))
        assert seen.get() == row
        return before

    given_back, failures = run(f, list(range(40)), concurrency=3)
    assert given_back == [-1] * 40
    assert not failures


def test_each_row_has_a_task_of_its_own_which_is_done_once_it_is() -> None:
    tasks: list[asyncio.Task[Any]] = []
    done: list[int] = []

    async def f(row: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        task.add_done_callback(lambda _: done.append(row))
        await asyncio.sleep(0)
        return row

    run(f, list(range(12)), concurrency=2)
    assert len(set(tasks)) == 12
    assert set(done) >= set(range(10))  # what the last ones are told comes with the next round of the loop
    assert all(task.done() and not task.cancelled() for task in tasks)


def test_a_row_that_swallows_its_cancellation_and_continues_has_not_failed() -> None:
    async def f(row: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        if row == 1:
            task.cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                return -1
        return row

    assert run(f, [0, 1, 2]) == ([0, -1, 2], [])


def test_rows_that_have_failed_or_ended_are_not_kept_by_the_task_they_ran_in() -> None:
    class Row:
        pass

    async def f(row: Row) -> None:
        await asyncio.sleep(0)

    rows = [Row() for _ in range(5)]
    kept = [weakref.ref(row) for row in rows]
    gc.disable()
    try:
        run(f, rows)
        rows.clear()
        assert [ref() for ref in kept] == [None] * 5
    finally:
        gc.enable()


def test_a_row_that_waits_for_less_than_a_millisecond_does_not_wait_for_a_whole_one() -> None:
    waits: list[float] = []

    async def f(row: int) -> None:
        began = time.perf_counter()
        await asyncio.sleep(0.0002)
        waits.append(time.perf_counter() - began)

    run(f, list(range(400)), concurrency=1)
    assert sorted(waits)[100] < 0.001  # most of them may be late, on a busy machine
