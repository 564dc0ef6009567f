"""What every peer is told on its command line, and how it answers: one line `RESULT {json}`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import result
from workloads.events import ROWS
from workloads.pacing import figures

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line of a peer."""

    workload: str
    variant: str
    rows: int
    workers: int
    batch: int
    rate: int
    seconds: float

    @property
    def by_hand(self) -> bool:
        """True: items go in lists that the user makes."""
        return self.batch > 1

    def batches(self, items: Iterable[T]) -> Iterator[list[T]]:
        """Lists of `batch` items."""
        iterator = iter(items)
        while taken := list(islice(iterator, self.batch)):
            yield taken


def parsed(*variants: str, workloads: Sequence[str] = ("w1", "w2", "w4"), workers: int = 1) -> Arguments:
    """The command line; the first variant is the default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=workloads)
    parser.add_argument("--variant", choices=variants, default=variants[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="w1 and w2")
    parser.add_argument("--workers", type=int, default=workers, help="where the peer has them")
    parser.add_argument("--batch", type=int, default=1, help="items of one message, made up by hand")
    parser.add_argument("--rate", type=int, default=5_000, help="events a second in w4")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long w4 lasts")
    return Arguments(**vars(parser.parse_args()))


class StopWatch:
    """From the first item to the closed sink, and from the start of the script."""

    def __init__(self) -> None:
        self._script_began = time.monotonic()
        self._began = self._script_began

    def start(self) -> None:
        """The first item is read now."""
        self._began = time.monotonic()

    def done(self, rows: int, *, steady_s: float | None = None, output: Path | None = None, **more: Any) -> None:
        """Tell the result of w1 or w2."""
        now = time.monotonic()
        steady_s = now - self._began if steady_s is None else steady_s
        told = {"rows": rows, "steady_s": round(steady_s, 4), "rows_s": round(rows / steady_s)}
        where = {} if output is None else {"output": str(output)}
        result(**told, total_s=round(now - self._script_began, 3), **where, **more)


def check_sums(rows: int, count: int, total: int) -> None:
    """Raise where w1 lost or made up items."""
    if (count, total) != (rows, rows * (rows - 1)):
        raise AssertionError(f"{rows} items doubled gave {count} with sum {total}")


def tell_latency(latencies_ns: Sequence[int], sent: int, **more: Any) -> None:
    """Tell the result of w4."""
    result(rows=len(latencies_ns), sent=sent, **figures(latencies_ns), **more)
