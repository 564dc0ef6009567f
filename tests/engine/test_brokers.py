"""Brokers and clients with threads: what is committed was flushed before and is acknowledged after; nothing is lost."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.batch import Batch, rows_of
from penstock.engine import engine
from penstock.sink import RowsRejected, Sink, Writer
from penstock.slot.records.life import Crash
from penstock.source import EndOfSplit, Position, Reader, Source
from penstock.testing import ListSink

MESSAGES = 20


class Broker(Source[int]):
    """Messages are files in a folder, given in a new order to each consumer, and deleted when acknowledged."""

    def __init__(self, folder: Path, deaths: Path, dies_in: str, batch: int = 4) -> None:
        self.folder, self.deaths, self.dies_in, self.batch = folder, deaths, dies_in, batch

    def open(self, split: Any, position: Position | None, context: ps.Context) -> Reader[int]:
        return Consumer(self, context.attempt)


class Consumer(Reader[int]):
    repeatable = False

    def __init__(self, broker: Broker, attempt: int) -> None:
        self.broker = broker
        messages = sorted((int(file.name) for file in broker.folder.iterdir()), reverse=attempt % 2 == 0)
        self.messages = messages
        self.given: list[int] = []
        self.acknowledged = 0

    def read(self) -> list[int] | None:
        if not self.messages:
            raise EndOfSplit
        if len(self.given) >= 8:
            self.die_once("read")
            if not self.acknowledged:
                return None  # so that there is a commit that is not the last one
        batch, self.messages = self.messages[: self.broker.batch], self.messages[self.broker.batch :]
        self.given += batch
        return batch

    def position(self) -> Position:
        return len(self.given)

    def acknowledge(self, position: Position) -> None:
        self.die_once("acknowledge")
        for message in self.given[self.acknowledged : position]:
            (self.broker.folder / str(message)).unlink()
        self.acknowledged = position

    def die_once(self, where: str) -> None:
        if self.broker.dies_in == where and not self.broker.deaths.exists():
            self.broker.deaths.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("dies_in", ["nowhere", "read", "acknowledge"])
def test_a_message_is_acknowledged_once_it_is_committed_and_comes_again_where_that_was_not_said(
    where: Any, tmp_path: Path, dies_in: str
) -> None:
    folder, out = tmp_path / "broker", ListSink[int]()
    folder.mkdir()
    for message in range(MESSAGES):
        (folder / str(message)).touch()
    app = ps.Pipeline("broker")
    app.source(Broker(folder, tmp_path / "died", dies_in), name="consumer").sink(out, name="out")
    report = app.run(**where)
    assert report.stages["consumer"].restarts == (0 if dies_in == "nowhere" else 1)
    assert list(folder.iterdir()) == []
    assert set(out.rows) == set(range(MESSAGES))
    assert report.dead_letters == 0
    if dies_in == "nowhere":
        assert len(out.rows) == MESSAGES
    if dies_in == "acknowledge":
        assert len(out.rows) > MESSAGES  # committed, and never acknowledged


@pytest.mark.parametrize("point", ["before_append", "before_commit", "after_commit", "after_publish"])
def test_no_message_is_lost_wherever_in_a_commit_its_worker_dies(where: Any, tmp_path: Path, point: str) -> None:
    folder, out = tmp_path / "broker", ListSink[int]()
    folder.mkdir()
    for message in range(MESSAGES):
        (folder / str(message)).touch()
    app = ps.Pipeline("broker")
    app.source(Broker(folder, tmp_path / "died", "nowhere"), name="consumer").sink(out, name="out")
    report = engine.start(app.plan(), crashes={"consumer": (Crash(point, 8),)}, **where).wait()
    assert report.stages["consumer"].restarts == 1
    assert set(out.rows) == set(range(MESSAGES))
    if point.startswith("before"):  # behind the last commit of the run, messages are left to the next run
        assert list(folder.iterdir()) == []


def dies_of_seven(row: int) -> int:
    if row == 7:
        os.abort()
    return row


def test_no_message_is_set_aside_for_another_that_kills_its_worker_and_comes_again_elsewhere(
    where: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    for message in range(MESSAGES):
        (folder / str(message)).touch()
    app = ps.Pipeline("poison")
    app.source(Broker(folder, tmp_path, "nowhere", batch=1), name="consumer", max_restarts="3/m") \
        .map(dies_of_seven).sink(ps.discard())
    with pytest.raises(ps.PipelineFailed, match="died 4 times"):
        app.run(**where)
    assert [file.name for file in folder.iterdir()] == ["7"]
    assert list(ps.read_dead_letters("poison", state_dir=where["state_dir"])) == []


class Client(Source[int]):
    """A client with a thread of its own, or with an event loop in one; it has no descriptor to wait for."""

    def __init__(self, style: str, count: int) -> None:
        self.style, self.count = style, count

    def open(self, split: Any, position: Position | None, context: ps.Context) -> Reader[int]:
        return ClientReader(self.style, range(position or 0, self.count), context)


class ClientReader(Reader[int]):
    poll_after = "1h"

    def __init__(self, style: str, rows: range, context: ps.Context) -> None:
        self.arrived: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.at, self.end = rows.start, rows.stop
        self.context = context
        target = self.consume if style == "thread" else lambda: asyncio.run(self.consume_async())
        self.read_nothing = threading.Event()
        self.thread = threading.Thread(target=target, daemon=True)
        self.thread.start()

    def arrive(self, row: int) -> None:
        self.arrived.put(row)
        self.context.wake()

    def consume(self) -> None:
        for row in range(self.at, self.end):
            self.read_nothing.wait()  # the worker may be about to sleep, or asleep
            self.read_nothing.clear()
            if row % 2:
                time.sleep(0.002)
            self.arrive(row)

    async def consume_async(self) -> None:
        for row in range(self.at, self.end):
            while not self.read_nothing.is_set():
                await asyncio.sleep(0)
            self.read_nothing.clear()
            self.arrive(row)

    def read(self) -> list[int] | None:
        if self.at == self.end:
            raise EndOfSplit
        try:
            row = self.arrived.get_nowait()
        except queue.Empty:
            self.read_nothing.set()
            return None
        self.at += 1
        return [row]

    def position(self) -> Position:
        return self.at

    def close(self) -> None:
        self.thread.join()


@pytest.mark.parametrize("style", ["thread", "asyncio"])
def test_a_client_on_another_thread_wakes_its_worker(where: Any, style: str) -> None:
    app, out = ps.Pipeline("client"), ListSink[int]()
    app.source(Client(style, 200), name="client").sink(out, name="out")
    app.run(**where)
    assert out.rows == list(range(200))


class Topic(Sink[int]):
    """Takes rows at once, and sends them in the background."""

    def __init__(self, folder: Path, death: Path) -> None:
        self.folder, self.death = folder, death

    @property
    def label(self) -> str:
        return "topic"

    def writer(self, position: Position | None, context: ps.Context) -> Writer[int]:
        return Producer(self)


class Producer(Writer[int]):
    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.waiting: queue.Queue[tuple[int, int]] = queue.Queue()
        self.refused: dict[int, str] = {}
        self.written = 0
        threading.Thread(target=self.send, daemon=True).start()

    def write(self, batch: Batch[Any]) -> None:
        for row in rows_of(batch):
            self.waiting.put((self.written, row))
            self.written += 1

    def send(self) -> None:
        while True:
            number, row = self.waiting.get()
            if row == 13:
                self.refused[number] = "thirteen is taken"
            else:
                (self.topic.folder / str(row)).touch()
            self.waiting.task_done()

    def flush(self) -> None:
        if not self.topic.death.exists():
            self.topic.death.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.waiting.join()
        self.written = 0
        refused, self.refused = self.refused, {}
        if refused:
            raise RowsRejected(refused)


def test_what_a_client_sends_in_the_background_has_arrived_when_it_is_committed(where: Any, tmp_path: Path) -> None:
    folder = tmp_path / "topic"
    folder.mkdir()
    app = ps.Pipeline("topics")
    app.source(range(100), name="numbers").sink(Topic(folder, tmp_path / "died"))
    report = app.run(**where)
    assert report.stages["topic"].restarts == 1
    assert report.stages["topic"].rows_out == 99
    assert {int(file.name) for file in folder.iterdir()} == set(range(100)) - {13}
    [letter] = ps.read_dead_letters("topics", state_dir=where["state_dir"])
    assert (letter.stage, letter.row) == ("topic", 13)
    assert "thirteen is taken" in letter.error
