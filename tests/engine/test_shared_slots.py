"""Sinks of one target share a worker: at a trickle, too, their transactions collect rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec

import penstock as ps
from penstock.batch import Batch, rows_of
from penstock.connectors import load
from penstock.engine import engine
from penstock.sink import Delivery, Sink, TransactionalWriter
from penstock.source import Position

ROWS, PER_S = 200, "200/s"


def _number(number: int, rng: Random) -> int:
    return number


@dataclass(frozen=True)
class Table(Sink[Any]):
    """One of several in a folder that one worker writes: a line for each transaction, with its rows."""

    folder: Path
    name: str

    @property
    def label(self) -> str:
        return self.name

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    @property
    def shared_slot(self) -> str | None:
        return str(self.folder)

    def writer(self, position: Position | None, context: ps.Context) -> TransactionalWriter[Any]:
        return _TableWriter(self.path)

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def transactions(self) -> Sequence[int]:
        """How many rows each of them had."""
        return [line[0] for line in map(msgspec.json.decode, self.path.read_bytes().splitlines())]


class _TableWriter(TransactionalWriter[Any]):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = 0

    def write(self, batch: Batch[Any]) -> None:
        self._rows += len(rows_of(batch))

    def commit(self, record: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode([self._rows, record]) + b"\n")
        self._rows = 0

    def last_record(self) -> bytes | None:
        return None  # nobody is killed here


def test_transactions_of_two_sinks_in_one_slot_collect_rows_that_trickle_in(tmp_path: Path, where: Any) -> None:
    tables = [Table(tmp_path, "left"), Table(tmp_path, "right")]
    app = ps.Pipeline("shared")
    numbers = app.source(load.generate(_number, load.steady(PER_S), rows=ROWS), name="numbers")
    for table in tables:
        numbers.sink(table)
    report = engine.run(app.plan(), progress=False, **where)
    assert report.outcome == "finished"
    for table in tables:
        transactions = [rows for rows in table.transactions() if rows]
        assert sum(transactions) == ROWS
        # A row every five milliseconds, and each of the two collects for fifty.
        assert len(transactions) <= ROWS / 5, transactions
