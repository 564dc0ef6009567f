"""What is down for a while is waited for and told of: nothing is lost, nothing is repeated, and the wait has an end."""

from __future__ import annotations

import errno
import logging
import pickle
import time
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.batch import Batch, rows_of
from penstock.sink import Sink, Writer
from penstock.source import EndOfSplit, Position, Reader, Source
from penstock.testing import ListSink

ROWS = list(range(2000))


class Down:
    """Down for so many tries; counts them, in whatever process."""

    def __init__(self, tries: Path, most: float, error: Exception) -> None:
        self.tries, self.most, self.error = tries, most, error

    def use(self) -> None:
        count = len(self.tries.read_bytes()) if self.tries.exists() else 0
        if count < self.most:
            with self.tries.open("ab") as file:
                file.write(b".")
            raise self.error


class Numbers(Source[int]):
    """Gives a hundred rows at a time; in the middle what it reads from is down."""

    def __init__(self, down: Down) -> None:
        self.down = down

    @property
    def label(self) -> str:
        return "numbers"

    def open(self, split: Any, position: Position | None, context: ps.Context) -> Reader[int]:
        return NumbersReader(self.down, position or 0)  # type: ignore[arg-type]


class NumbersReader(Reader[int]):
    def __init__(self, down: Down, at: int) -> None:
        self.down, self.at = down, at

    def read(self) -> list[int]:
        if self.at == 1000:
            self.down.use()
        if self.at == len(ROWS):
            raise EndOfSplit
        self.at += 100
        return ROWS[self.at - 100 : self.at]

    def position(self) -> Position:
        return self.at


class Store(Sink[int]):
    """Appends to a file; cuts what was not committed; down when the row 1000 comes, or at the end, or when opened."""

    def __init__(self, path: Path, down: Down, when: str) -> None:
        self.path, self.down, self.when = path, down, when

    @property
    def label(self) -> str:
        return "store"

    def writer(self, position: Position | None, context: ps.Context) -> Writer[int]:
        if self.when == "open":
            self.down.use()
        return StoreWriter(self, position or 0)  # type: ignore[arg-type]


class StoreWriter(Writer[int]):
    def __init__(self, store: Store, position: int) -> None:
        self.store = store
        self.file = store.path.open("ab", buffering=0)
        self.file.truncate(position)

    def write(self, batch: Batch[Any]) -> None:
        for row in rows_of(batch):
            if row == 1000 and self.store.when == "write":
                self.store.down.use()
            self.file.write(f"{row}\n".encode())

    def position(self) -> Position:
        return self.file.tell()

    def finish(self) -> None:
        if self.store.when == "finish":
            self.store.down.use()


class Model:
    def __init__(self, down: Down) -> None:
        self.down = down

    def open(self, context: ps.Context) -> None:
        self.down.use()

    def __call__(self, row: int) -> int:
        return row


SOON = ps.Unavailable("the database is restarting", retry_after="50ms")
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [SOON, FULL], ids=["unavailable", "full"])
@pytest.mark.parametrize("when", ["open", "write", "finish"])
def test_a_sink_that_is_down_for_a_while_gets_every_row_once(
    where: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, when: str, error: Exception
) -> None:
    store = Store(tmp_path / "out", Down(tmp_path / "tries", 3, error), when)
    app = ps.Pipeline("down")
    app.source(ROWS, name="numbers").stage("work").map(int).sink(store, max_restarts="1/h")
    with caplog.at_level(logging.WARNING, "penstock.engine"):
        report = app.run(**where, progress=False)
    assert [int(line) for line in store.path.read_text().split()] == ROWS
    assert len(store.down.tries.read_bytes()) == 3
    assert report.stages["store"].restarts == 0
    assert "worker store/0 waits" in caplog.text
    assert str(error.args[-1]) in caplog.text


def test_a_source_that_is_down_for_a_while_is_read_on(where: Any, tmp_path: Path) -> None:
    app, out = ps.Pipeline("down"), ListSink[int]()
    app.source(Numbers(Down(tmp_path / "tries", 4, SOON)), max_restarts="1/h").sink(out)
    app.run(**where, progress=False)
    assert out.rows == ROWS


def test_an_operator_whose_opening_needs_what_is_down_waits(where: Any, tmp_path: Path) -> None:
    app, out = ps.Pipeline("down"), ListSink[int]()
    stage = app.source(ROWS, name="numbers").stage("work", max_restarts="1/h")
    stage.map(Model(Down(tmp_path / "tries", 4, SOON))).sink(out)
    app.run(**where, progress=False)
    assert out.rows == ROWS


def test_waiting_ends_after_its_limit_and_the_next_run_resumes(where: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "out", Down(tmp_path / "tries", float("inf"), SOON), "write")
    app = ps.Pipeline("down")
    app.source(ROWS, name="numbers").stage("work").map(int).sink(store, unavailable_for="2s")
    with pytest.raises(ps.PipelineFailed, match=r"unavailable for \d+ s.*the database is restarting") as caught:
        app.run(**where, progress=False)
    assert caught.value.stage == "store"
    store.down.most = 0
    app.run(**where, progress=False)
    assert [int(line) for line in store.path.read_text().split()] == ROWS


def test_a_run_that_waits_can_be_stopped(where: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "out", Down(tmp_path / "tries", float("inf"), ps.Unavailable(retry_after="10m")), "write")
    app = ps.Pipeline("down")
    app.source(ROWS, name="numbers").stage("work").map(int).sink(store)
    handle = app.start(**where)
    deadline = time.monotonic() + 60
    while not store.down.tries.exists():
        assert not handle.over and time.monotonic() < deadline
        handle.wait_a_while(0.05)
    assert handle.stop().outcome == "stopped"


def test_it_can_be_pickled_with_what_it_says() -> None:
    again = pickle.loads(pickle.dumps(SOON))
    assert (str(again), again.retry_after_s) == ("the database is restarting", 0.05)
