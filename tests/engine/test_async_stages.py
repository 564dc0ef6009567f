"""Async stages: rows in flight over the borders of batches, each row's errors its own, output exact and in order."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.testing import ListSink

SMALL = ps.Edge(batch_rows=10)
"""Many batches, so that what is in flight spans several."""


def letters_of(app: ps.Pipeline, where: Any) -> list[ps.DeadLetter]:
    return sorted(ps.read_dead_letters(app.name, state_dir=where["state_dir"]), key=lambda letter: str(letter.row))


class WaitsForLaterRows:
    """The first row ends once a row far behind it, in another batch, was called for."""

    def __init__(self, awaited: int) -> None:
        self.awaited = awaited
        self.event = asyncio.Event()

    async def __call__(self, x: int) -> int:
        if x == 0:
            await self.event.wait()
        if x == self.awaited:
            self.event.set()
        await asyncio.sleep(0)
        return x


@pytest.mark.parametrize("slow", [{}, {"ordered": True}, {"on_error": ps.fail()}], ids=["plain", "ordered", "fail"])
def test_a_slow_row_holds_up_no_call_of_the_rows_behind_it(where: Any, slow: dict[str, Any]) -> None:
    app, out = ps.Pipeline("behind"), ListSink[int]()
    stage = app.source(range(500), name="numbers").stage("work", concurrency=4, edge=SMALL, **slow)
    stage.map(WaitsForLaterRows(200)).sink(out, name="out")
    assert app.run(**where).outcome == "finished"
    assert list(out.rows) == list(range(500))


class CountsRunning:
    """Notes how many rows are in flight, and never lets the number be reached only once in a while."""

    def __init__(self) -> None:
        self.running = self.most = 0

    async def __call__(self, x: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001 * (x % 3))
        self.running -= 1
        return self.most


def test_no_more_rows_are_in_flight_than_allowed_and_so_many_are(where: Any) -> None:
    app, out = ps.Pipeline("many"), ListSink[int]()
    app.source(range(1000), name="numbers").stage("work", concurrency=7, edge=SMALL).map(CountsRunning()).sink(
        out, name="out"
    )
    app.run(**where)
    assert max(out.rows) == 7


class Dies:
    """Kills its worker in the first lives, wherever others happen to be."""

    def __init__(self, at: tuple[int, ...]) -> None:
        self.at = at

    def open(self, context: ps.Context) -> None:
        self.context = context

    async def __call__(self, x: int) -> int:
        await asyncio.sleep(random.choice([0.0, 0.0, 0.001, 0.004]))
        if self.context.attempt <= len(self.at) and x == self.at[self.context.attempt - 1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return x


@pytest.mark.parametrize(
    "options", [{}, {"ordered": True, "workers": 2}, {"workers": 2}], ids=["one", "ordered", "two"]
)
def test_rows_are_given_out_once_when_a_worker_dies_with_rows_in_flight(where: Any, options: dict[str, Any]) -> None:
    app, out = ps.Pipeline("dies"), ListSink[int]()
    stage = app.source(range(800), name="numbers").stage("work", edge=SMALL, **options)
    stage.map(Dies((100, 101, 350, 500))).sink(out, name="out")
    report = app.run(**where)
    rows = list(out.rows) if options.get("workers", 1) == 1 or "ordered" in options else sorted(out.rows)
    assert rows == list(range(800))
    assert report.dead_letters == 0
    assert report.stages["work"].restarts >= 2


def _sleeps(x: int) -> None:
    time.sleep(60)


def _computes_in_c(x: int) -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")  # holds the interpreter's lock for longer than anybody waits


class Blocks:
    """Holds up the event loop with one row, in its own task or in one that it starts."""

    def __init__(self, deed: Callable[[int], None], *, in_a_task: bool) -> None:
        self.deed, self.in_a_task = deed, in_a_task

    async def __call__(self, x: int) -> int:
        await asyncio.sleep(0.001)
        if x == 55:
            await asyncio.gather(self.block(x), asyncio.sleep(0)) if self.in_a_task else await self.block(x)
        await asyncio.sleep(0.01)
        return x

    async def block(self, x: int) -> None:
        self.deed(x)


@pytest.mark.parametrize("in_a_task", [False, True], ids=["own", "task"])
@pytest.mark.parametrize("deed", [_sleeps, _computes_in_c], ids=["sleep", "c"])
def test_a_row_that_blocks_the_event_loop_is_set_aside_and_none_beside_it(
    where: Any, deed: Callable[[int], None], in_a_task: bool
) -> None:
    app, out = ps.Pipeline("blocks"), ListSink[int]()
    stage = app.source(range(120), name="numbers").stage("work", timeout="1s", edge=SMALL)
    stage.map(Blocks(deed, in_a_task=in_a_task)).sink(out, name="out")
    app.run(**where)
    assert [letter.row for letter in letters_of(app, where)] == [55]
    assert sorted(out.rows) == [x for x in range(120) if x != 55]


async def _cancels_itself(x: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _cancels_itself_in_its_last_step(x: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def _exits_in_a_task(x: int) -> None:
    async def leave() -> None:
        sys.exit(3)

    await asyncio.gather(leave())


async def _clings_on(x: int) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


async def _crashes_in_a_thread(x: int) -> None:
    await asyncio.to_thread(ctypes.string_at, 0)


async def _stops_the_loop(x: int) -> None:
    asyncio.get_running_loop().stop()
    raise ValueError("stopped")


async def _exits_a_generator(x: int) -> None:
    raise GeneratorExit


async def _exits_a_generator_in_a_task(x: int) -> None:
    await asyncio.gather(_exits_a_generator(x))


class Misbehaves:
    def __init__(self, deed: Callable[[int], Any]) -> None:
        self.deed = deed

    async def __call__(self, x: int) -> int:
        await asyncio.sleep(0.002)
        if x == 33:
            await self.deed(x)
        return x


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (_cancels_itself, "CancelledError"), (_cancels_itself_in_its_last_step, "CancelledError"),
        (_exits_in_a_task, "SystemExit"), (_clings_on, "hung its worker"),
        (_crashes_in_a_thread, "SIGSEGV"), (_stops_the_loop, "stopped"),
        (_exits_a_generator, "GeneratorExit"), (_exits_a_generator_in_a_task, "GeneratorExit"),
    ],
)
def test_what_one_row_does_to_its_task_loop_or_worker_is_its_own_error(
    where: Any, deed: Callable[[int], Any], told: str
) -> None:
    app, out = ps.Pipeline("odd"), ListSink[int]()
    stage = app.source(range(60), name="numbers").stage("work", timeout="1s", edge=SMALL)
    stage.map(Misbehaves(deed)).sink(out, name="out")
    report = app.run(**where)
    [letter] = letters_of(app, where)
    assert letter.row == 33 and told in letter.error
    assert report.outcome == "finished"
    assert sorted(out.rows) == [x for x in range(60) if x != 33]


class CancelsAllOthers:
    """One row cancels every other task of its loop; those that have not run yet are among them."""

    async def __call__(self, x: int) -> int:
        await asyncio.sleep(0.001)
        if x == 9:
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()
        return x


@pytest.mark.parametrize("ordered", [False, True])
def test_rows_whose_tasks_another_row_cancels_are_set_aside_and_no_others(where: Any, ordered: bool) -> None:
    app, out = ps.Pipeline("cancels"), ListSink[int]()
    app.source(range(100), name="numbers").stage("work", ordered=ordered).map(CancelsAllOthers()).sink(out, name="out")
    assert app.run(**where).outcome == "finished"
    letters = letters_of(app, where)
    assert letters and all("CancelledError" in letter.error for letter in letters)
    assert sorted([*out.rows, *(letter.row for letter in letters)]) == list(range(100))
    assert 9 in out.rows


class FailsAtFirst:
    """Every fifth row fails twice before it succeeds."""

    def __init__(self) -> None:
        self.calls: dict[int, int] = {}

    async def __call__(self, x: int) -> int:
        self.calls[x] = self.calls.get(x, 0) + 1
        await asyncio.sleep(0.001)
        if x % 5 == 0 and self.calls[x] < 3:
            raise ValueError(x)
        return x


@pytest.mark.parametrize("ordered", [False, True])
def test_failed_rows_are_retried_beside_others_and_in_their_place_where_order_counts(
    where: Any, ordered: bool
) -> None:
    app, out = ps.Pipeline("again"), ListSink[int]()
    stage = app.source(range(100), name="numbers").stage(
        "work", retries=3, retry_delay="20ms", edge=SMALL, ordered=ordered
    )
    stage.map(FailsAtFirst()).sink(out, name="out")
    report = app.run(**where)
    assert (list(out.rows) if ordered else sorted(out.rows)) == list(range(100))
    assert report.stages["work"].retries == 40
    assert report.stages["work"].rows_in == report.stages["work"].rows_out == 100


def test_rows_before_one_that_fails_the_stage_are_delivered(where: Any) -> None:
    async def f(x: int) -> int:
        await asyncio.sleep(0 if x == 50 else 0.005)
        if x == 50:
            raise ValueError("no")
        return x

    app, out = ps.Pipeline("fails"), ListSink[int]()
    app.source(range(100), name="numbers").stage("work", on_error=ps.fail(), edge=SMALL).map(f).sink(
        out, fused=True
    )
    with pytest.raises(ps.PipelineFailed, match="the row was 50"):
        app.run(**where)
    assert list(out.rows) == list(range(50))


class NotesKeys:
    def open(self, context: ps.Context) -> None:
        self.context = context

    async def __call__(self, x: int) -> tuple[int, str]:
        await asyncio.sleep(0.001)
        key = await asyncio.gather(self.key())
        if x == 70 and self.context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x, key[0]

    async def key(self) -> str:
        return self.context.idempotency_key


def test_each_row_in_flight_has_a_key_of_its_own(where: Any) -> None:
    app, out = ps.Pipeline("keys"), ListSink[tuple[int, str]]()
    app.source(range(100), name="numbers").stage("work", edge=SMALL).map(NotesKeys).sink(out, name="out")
    app.run(**where)
    assert [x for x, _ in out.rows] == list(range(100))
    assert len({key for _, key in out.rows}) == 100


class OneAtATime:
    """Gives a row once the one before has arrived."""

    def __init__(self, arrived: Path) -> None:
        self.arrived = arrived

    def __call__(self) -> Iterator[int]:
        for x in range(20):
            yield x
            while not (self.arrived / str(x)).exists():
                time.sleep(0.002)


@pytest.mark.parametrize("apart", [True, False], ids=["stage of its own", "the source's stage"])
def test_a_row_is_delivered_though_no_other_one_comes(where: Any, tmp_path: Path, apart: bool) -> None:
    async def f(x: int) -> int:
        await asyncio.sleep(0.001)
        return x

    app = ps.Pipeline("thin")
    stream = app.source(OneAtATime(tmp_path), name="numbers")
    (stream.stage("work") if apart else stream).map(f).sink(lambda x: (tmp_path / str(x)).touch(), name="out")
    assert app.run(**where).outcome == "finished"


def test_an_async_stage_may_write_and_read_in_its_own_process(where: Any) -> None:
    async def f(x: int) -> int:
        await asyncio.sleep(0.001 * (x % 4))
        return x

    app, out = ps.Pipeline("fused"), ListSink[int]()
    app.source(range(3000), name="numbers").map(f).sink(out, fused=True)
    assert app.run(**where).outcome == "finished"
    assert list(out.rows) == list(range(3000))


async def _holds_up(x: int) -> int:
    if x == 3:
        time.sleep(1.2)  # what holds the loop up
    await asyncio.sleep(0.001)
    return x


class Told(logging.Handler):
    """What the run logs."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def told() -> Iterator[list[str]]:
    handler = Told()
    logging.getLogger("penstock").addHandler(handler)
    yield handler.messages
    logging.getLogger("penstock").removeHandler(handler)


def test_a_function_that_holds_the_event_loop_up_is_told_once_with_its_line(where: Any, told: list[str]) -> None:
    app, out = ps.Pipeline("holds-up"), ListSink[int]()
    stage = app.source(range(8), name="numbers").stage("wait", concurrency=4)
    stage.map(_holds_up).map(_holds_up).sink(out, name="out")
    assert app.run(**where).outcome == "finished"
    assert sorted(out.rows) == list(range(8))
    line = next(n for n, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "what holds the" in text)
    [message] = [text for text in told if "held up the event loop" in text]
    assert "stage wait: _holds_up" in message and f"{__file__}:{line}" in message and "asyncio.to_thread" in message


async def _holds_up_in_a_task(x: int) -> int:
    return await asyncio.create_task(_holds_up(x))


def test_a_task_of_a_row_that_holds_the_event_loop_up_is_told_too(where: Any, told: list[str]) -> None:
    app, out = ps.Pipeline("holds-up-tasks"), ListSink[int]()
    app.source(range(8), name="numbers").stage("wait", concurrency=4).map(_holds_up_in_a_task).sink(out, name="out")
    assert app.run(**where).outcome == "finished"
    [message] = [text for text in told if "held up the event loop" in text]
    assert "_holds_up (" in message


async def _only_waits(x: int) -> int:
    await asyncio.sleep(1.2)
    return sum(range(1000 * x))


def test_rows_that_wait_as_they_should_are_not_reported(where: Any, told: list[str]) -> None:
    app, out = ps.Pipeline("waits"), ListSink[int]()
    app.source(range(8), name="numbers").stage("wait", concurrency=8).map(_only_waits).sink(out, name="out")
    assert app.run(**where).outcome == "finished"
    assert not [text for text in told if "held up the event loop" in text]
