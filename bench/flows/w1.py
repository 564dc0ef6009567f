"""w1: ints -> x * 2 -> count and sum, each stage in a process of its own, all settings at their defaults.

    python bench/flows/w1.py [ROWS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure
from flows.clocked import ClockedSink, ClockedSource, StopWatch

import penstock as ps
from penstock.operator import Context
from penstock.sequences import SequenceSource
from penstock.sink import Sink, Writer
from penstock.source import Position


def double(x: int) -> int:
    return x * 2


@dataclass(frozen=True)
class CountAndSum(Sink[int]):
    """Keeps two numbers; they end up in a file."""

    path: Path

    def writer(self, position: Position | None, context: Context) -> Writer[int]:
        return _Summing(self.path, position)


class _Summing(Writer[int]):
    def __init__(self, path: Path, position: Position | None) -> None:
        self._path = path
        self._count, self._sum = position or (0, 0)

    def write(self, batch: Sequence[int]) -> None:  # type: ignore[override]
        self._count += len(batch)
        self._sum += sum(batch)

    def position(self) -> Position:
        return self._count, self._sum

    def finish(self) -> None:
        self._path.write_text(f"{self._count} {self._sum}")


def pipeline(rows: int, folder: Path, **options: Any) -> ps.Pipeline:
    watch = StopWatch(folder)
    app = ps.Pipeline("bench-w1")
    doubled = app.source(ClockedSource(SequenceSource(range(rows)), watch)).stage("double", **options).map(double)
    doubled.sink(ClockedSink(CountAndSum(folder / "sums"), watch))
    return app


def main(rows: int = 20_000_000) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.monotonic()
        pipeline(rows, folder).run(fresh=True, state_dir=folder)
        total_s = time.monotonic() - began
        count, total = map(int, (folder / "sums").read_text().split())
        assert (count, total) == (rows, rows * (rows - 1)), (count, total)
        steady_s = StopWatch(folder).seconds()
    measure.result(rows=rows, steady_s=steady_s, rows_s=round(rows / steady_s), total_s=total_s)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
