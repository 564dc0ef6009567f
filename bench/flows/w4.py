"""w4: events at a fixed rate through three isolated stages, all settings at their defaults, and how long each took.

    python bench/flows/w4.py [--rate 5000] [--seconds 10]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure
from workloads.pacing import figures

import penstock as ps
from penstock.operator import Context
from penstock.sink import Sink, Writer
from penstock.source import EndOfSplit, Position, Reader, Source

HEAD_START_NS = 5_000_000


@dataclass(frozen=True)
class Paced(Source[list[int]]):
    """[number, due time] of each event, no earlier than it is due; the stamps are of `pacing.paced`."""

    rate: int
    rows_in_all: int

    @property
    def row_type(self) -> Any:
        return list[int]

    def splits(self) -> Mapping[str, Any]:
        return {"all": None}

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[list[int]]:
        return _PacedReader(self)


class _PacedReader(Reader[list[int]]):
    def __init__(self, source: Paced) -> None:
        self._rows = source.rows_in_all
        self._step_ns = 1_000_000_000 // source.rate
        self._begin_ns = time.monotonic_ns() + HEAD_START_NS
        self._next = 0

    def read(self) -> list[list[int]]:
        """Sleeps until the next event is due, as `pacing.paced` does: the engine's own timer is coarser."""
        if self._next >= self._rows:
            raise EndOfSplit
        due_ns = self._begin_ns + self._next * self._step_ns
        while (early_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(early_ns / 1e9)
        stop = min(self._next + 1 + -early_ns // self._step_ns, self._rows)
        events = [[number, self._begin_ns + number * self._step_ns] for number in range(self._next, stop)]
        self._next = stop
        return events

    def position(self) -> Position:
        return self._next


def double(event: list[int]) -> list[int]:
    return [event[0] * 2, event[1]]


@dataclass(frozen=True)
class LookAtTheClock(Sink[list[int]]):
    """Keeps the latency of each event; they end up in a file."""

    path: Path

    def writer(self, position: Position | None, context: Context) -> Writer[list[int]]:
        return _Looking(self.path)


class _Looking(Writer[list[int]]):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._latencies = array("q")

    def write(self, batch: Sequence[list[int]]) -> None:  # type: ignore[override]
        for event in batch:
            self._latencies.append(time.monotonic_ns() - event[1])

    def finish(self) -> None:
        self._path.write_bytes(self._latencies.tobytes())


def pipeline(rate: int, rows: int, latencies: Path) -> ps.Pipeline:
    app = ps.Pipeline("bench-w4")
    doubled = app.source(Paced(rate, rows), name="paced").stage("double").map(double)
    doubled.sink(LookAtTheClock(latencies), name="look")
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    rows = int(given.rate * given.seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "latencies")
        began = time.monotonic()
        pipeline(given.rate, rows, path).run(fresh=True, state_dir=folder, progress=False)
        latencies = array("q")
        latencies.frombytes(path.read_bytes())
    total_s = round(time.monotonic() - began, 3)
    measure.result(rows=len(latencies), sent=rows, **figures(latencies), total_s=total_s)


if __name__ == "__main__":
    main()
