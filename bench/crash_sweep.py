"""Kills each process of a short run before each thing that it does which others can see, and checks every result.

    python bench/crash_sweep.py [--every N] [--only NAME ...] [--jobs N]

Prints a table: who died, how many effects its undisturbed life has (system calls, and stores to pages that it shares
with others), how often it was killed before one of them, how many results were wrong. How it is done stands in
`tests/sweep`. Takes minutes; `--every 10` takes each tenth point.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from measure import HERE, machine, table

sys.path.insert(0, str(HERE.parent / "tests" / "sweep"))

import sweep_points as points
import sweep_ptrace
from sweep_pipeline import STAGES
from sweep_run import Request, Swept

_MARGIN = 24
"""Lives differ in length by what they wait for: so many points are tried behind the end."""


@dataclass(frozen=True)
class Way:
    """One line of the table."""

    name: str
    role: str
    """Whose effects are counted for it."""
    requests: Callable[[Iterable[int], int], Iterator[Request]]
    database: bool = False


def _ways() -> list[Way]:
    found = [Way(f"{role}", role, lambda n, _, role=role: points.once(role, n)) for role in STAGES]  # type: ignore[misc]
    found.append(Way("sink, DuckDB", "sink", lambda n, _: points.once("sink", n, database=True), True))
    found += [
        Way(f"{role}, then its successor", role, lambda n, most, role=role: points.twice(role, n, most))  # type: ignore[misc]
        for role in STAGES
    ]
    found.append(Way(
        "sink, then its successor, DuckDB", "sink", lambda n, most: points.twice("sink", n, most, database=True), True
    ))
    found.append(Way("all four workers", "middle", points.all_at_once))
    found.append(Way("supervisor", "supervisor", lambda n, _: points.of_supervisor(n)))
    found.append(Way("zygote", "zygote", lambda n, _: points.of_zygote(n)))
    return found


@dataclass
class Line:
    """What was seen of a way."""

    way: Way
    effects: int
    stores: int
    runs: int = 0
    kills: int = 0
    wrong: int = 0
    longest_s: float = 0.0

    def add(self, swept: Swept) -> None:
        self.runs += 1
        self.kills += len(swept.kills)
        self.wrong += bool(swept.wrong)
        self.longest_s = max(self.longest_s, swept.seconds)

    def cells(self) -> tuple[object, ...]:
        return (
            self.way.name, self.effects, self.stores, self.kills, self.runs, self.wrong, f"{self.longest_s:.1f}",
        )


class Sweepers:
    """So many sweeping processes, given out one at a time."""

    def __init__(self, stack: ExitStack, jobs: int, base: Path) -> None:
        self._free: queue.Queue[points.Sweeper] = queue.Queue()
        for _ in range(jobs):
            self._free.put(stack.enter_context(points.Sweeper(base)))

    def sweep(self, request: Request) -> tuple[Request, Swept]:
        sweeper = self._free.get()
        swept = sweeper.sweep(request)
        self._free.put(sweeper)
        return request, swept


def sweep(way: Way, sweepers: Sweepers, pool: ThreadPoolExecutor, every: int) -> Line:
    _, calm = sweepers.sweep(points.to_measure(way.role, database=way.database))
    (name,) = calm.effects
    line = Line(way, calm.effects[name], calm.stores[name])
    requests = way.requests(range(1, line.effects + _MARGIN, every), line.effects)
    for request, swept in pool.map(sweepers.sweep, requests):
        line.add(swept)
        if swept.wrong:
            print(f"WRONG {request}\n  killed: {dict(swept.kills)}\n  " + "\n  ".join(swept.wrong), flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take every Nth point (default: all)")
    parser.add_argument("--only", nargs="*", help="lines of the table, by name")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: 2)")
    given = parser.parse_args()
    if reason := sweep_ptrace.why_not():
        sys.exit(reason)
    ways = [way for way in _ways() if not given.only or way.name in given.only]
    began, lines = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="penstock-sweep-") as base, ExitStack() as stack:
        sweepers = Sweepers(stack, given.jobs, Path(base))
        pool = stack.enter_context(ThreadPoolExecutor(given.jobs))
        for way in ways:
            lines.append(sweep(way, sweepers, pool, given.every))
            told = f"{time.monotonic() - began:6.0f} s  {way.name}: {lines[-1].kills} kills"
            print(told, file=sys.stderr, flush=True)
    head = ("who dies", "effects", "of them stores", "kills", "runs", "wrong results", "longest run s")
    print(table(head, [line.cells() for line in lines]))
    print(f"\n{machine()}; {sum(line.kills for line in lines):,} kills in {time.monotonic() - began:.0f} s")
    sys.exit(any(line.wrong for line in lines))


if __name__ == "__main__":
    main()
