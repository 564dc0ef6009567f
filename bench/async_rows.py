"""Rows that wait: how many a second an async stage gets through, beside a plain loop with an `asyncio.Semaphore`.

    python bench/async_rows.py [--concurrency 16] [--rounds 3] [--first] [--only TEXT ...]

A row does nothing but `asyncio.sleep` for as long as it says. The plain loop has all rows in memory, makes a task of
each, and keeps nothing of what they gave; the stage reads rows from a queue, gives them on in order, and commits. Both
are timed from their first call to their last, in the workers themselves, in turn. Prints a table in Markdown.

`--first` raises the priority of the scheduler's group that each of the two is in (`autogroup` in sched(7)).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import measure

import penstock as ps

SECONDS = 3.0
"""So long a run of the plain loop takes, about."""


def _mixed(share: float, fast: float, slow: float) -> Callable[[random.Random], float]:
    return lambda chance: slow if chance.random() < share else fast


ROWS: Mapping[str, Callable[[random.Random], float]] = {
    "1 ms": lambda chance: 0.001,
    "5 ms": lambda chance: 0.005,
    "50 ms": lambda chance: 0.05,
    "500 ms": lambda chance: 0.5,
    "1 to 100 ms": lambda chance: chance.uniform(0.001, 0.1),
    "1 ms, of 100 one 100 ms": _mixed(0.01, 0.001, 0.1),
    "5 ms, of 50 one 500 ms": _mixed(0.02, 0.005, 0.5),
}


def rows_of(kind: str, concurrency: int) -> list[float]:
    """How long each row waits; the same for both."""
    chance = random.Random(7)
    waits = [ROWS[kind](chance) for _ in range(2_000)]
    many = max(int(SECONDS * concurrency / statistics.fmean(waits)), 2 * concurrency)
    return [ROWS[kind](chance) for _ in range(many)]


class Timed:
    """Waits for a row, and notes when the first call began and the last one ended."""

    def __init__(self, path: str, *, first: bool) -> None:
        """`first`: this process goes before everything else on the machine."""
        self.path = path
        self.first = first
        self.began = self.ended = self.cpu_began = 0.0

    async def __call__(self, wait_s: float) -> float:
        if not self.began:
            if self.first:
                Path("/proc/self/autogroup").write_text("-19")
            self.began, self.cpu_began = time.monotonic(), time.process_time()
        await asyncio.sleep(wait_s)
        self.ended = time.monotonic()
        return wait_s

    def close(self) -> None:
        Path(self.path).write_text(f"{self.ended - self.began} {time.process_time() - self.cpu_began}")


def plain(rows: list[float], concurrency: int, path: str, *, first: bool) -> None:
    """What one would write by hand."""

    async def main() -> None:
        timed, slots = Timed(path, first=first), asyncio.Semaphore(concurrency)

        async def one(wait_s: float) -> None:
            async with slots:
                await timed(wait_s)

        await asyncio.gather(*(one(wait_s) for wait_s in rows))
        timed.close()

    asyncio.run(main())


def staged(rows: list[float], concurrency: int, path: str, *, first: bool) -> None:
    app = ps.Pipeline("async-rows")
    timed = Timed(path, first=first)
    stream = app.source(rows, name="rows").stage("wait", concurrency=concurrency).map(timed)
    stream.sink(ps.discard(), name="out")
    with tempfile.TemporaryDirectory() as state:
        app.run(fresh=True, state_dir=state, run_dir=f"{state}/run", progress=False)


def measured(way: str, kind: str, concurrency: int, *, first: bool) -> tuple[float, float]:
    """Rows a second, and microseconds of processor time a row, in a process of its own."""
    with tempfile.NamedTemporaryFile("r") as file:
        command = [sys.executable, __file__, *(["--first"] if first else [])]
        subprocess.run([*command, "--way", way, kind, str(concurrency), file.name], check=True)
        wall_s, cpu_s = map(float, file.read().split())
        rows = len(rows_of(kind, concurrency))
        return rows / wall_s, cpu_s / rows * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], metavar="TEXT", help="only rows whose name has this in it")
    parser.add_argument("--first", action="store_true", help="both go before all else on a busy machine")
    parser.add_argument("--way", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        way, kind, concurrency, path = given.way
        {"plain": plain, "staged": staged}[way](
            rows_of(kind, int(concurrency)), int(concurrency), path, first=given.first
        )
        return 0
    lines = []
    for kind in ROWS:
        if given.only and not any(text in kind for text in given.only):
            continue
        seen: dict[str, list[tuple[float, float]]] = {"plain": [], "staged": []}
        for _ in range(given.rounds):
            for way, results in seen.items():
                results.append(measured(way, kind, given.concurrency, first=given.first))
        by_hand, stage = (
            tuple(map(statistics.median, zip(*results, strict=True))) for results in seen.values()
        )
        lines.append(
            [kind, f"{by_hand[0]:,.0f}", f"{stage[0]:,.0f}", f"{stage[0] / by_hand[0]:.2f}", f"{by_hand[1]:.0f}",
             f"{stage[1]:.0f}"]
        )
    columns = ["a row waits", "Semaphore, rows/s", "stage, rows/s", "ratio", "Semaphore, CPU µs", "stage, CPU µs"]
    print(measure.table(columns, lines))
    print(f"\n{given.concurrency} rows in flight. {measure.machine()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
