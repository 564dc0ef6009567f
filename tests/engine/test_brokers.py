"""Sources that acknowledge what is committed, and sources with threads of their own: none of their messages is lost."""

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

    def read(self) -> list[int]:
        if not self.messages:
            raise EndOfSplit
        if len(self.given) >= 8:
            self.die_once("read")
        batch, self.messages = self.messages[: self.broker.batch], self.messages[self.broker.batch :]
        self.given += batch
        return batch

    def position(self) -> Position:
        return len(self.given)

    def acknowledge(self, position: Position) -> None:
        if self.acknowledged:
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
