"""What more workers bring: a stage that computes, with 1, 2, ... workers, as many as there are cores.

    python bench/scaling.py [--most N] [--rounds 5]

Each row costs about 50 µs of Python; source and sink do next to nothing. Timed from the first row to the closed sink.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

import measure
from flows.clocked import ClockedSink, ClockedSource, StopWatch

import penstock as ps
from penstock.sequences import SequenceSource

ROWS = 60_000


def compute(n: int) -> int:
    total = n
    for step in range(1_000):
        total = (total * 31 + step) & 0xFFFF_FFFF
    return total


def rate(workers: int) -> dict[str, float]:
    """Rows per second."""
    with tempfile.TemporaryDirectory() as name:
        watch = StopWatch(Path(name))
        app = ps.Pipeline("bench-scaling")
        rows = app.source(ClockedSource(SequenceSource(range(ROWS)), watch), name="numbers")
        rows.stage("work", workers=workers).map(compute).sink(ClockedSink(ps.discard(), watch))
        app.run(fresh=True, state_dir=name, progress=False)
        return {"rows_s": round(ROWS / watch.seconds())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    counts = [n for n in (1, 2, 4, 8, 12, 16, 24, 32) if n <= given.most]
    found = measure.medians({str(n): partial(rate, n) for n in counts}, given.rounds)
    alone = found["1"]["rows_s"]
    lines = [(name, f"{row['rows_s']:,.0f}", f"{row['rows_s'] / alone:.2f}") for name, row in found.items()]
    print(measure.table(["workers", "rows/s", "times one worker"], lines))
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    main()
