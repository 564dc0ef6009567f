"""What a frame and its share of a turn cost: three isolated stages with a row to a frame.

    python bench/turns.py [ROWS]

Microseconds in which a stage was busy per row, by its own counts; the middle stage reads, calls, writes and commits.
A turn has as many frames as come within a millisecond.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import measure
from flows.w1 import CountAndSum, double

import penstock as ps

RUNS = 3


def busy_us(rows: int) -> dict[str, float]:
    """Per stage."""
    edge = ps.Edge(batch_rows=1)
    with tempfile.TemporaryDirectory() as folder:
        app = ps.Pipeline("bench-turns")
        doubled = app.source(range(rows), name="read").stage("double", edge=edge).map(double)
        doubled.sink(CountAndSum(Path(folder, "sums")), name="sum", edge=edge)
        report = app.run(fresh=True, state_dir=folder, progress=False)
    return {name: round(stage.busy_s / rows * 1e6, 1) for name, stage in report.stages.items()}


def main(rows: int = 60_000) -> None:
    found = measure.medians({"turns": lambda: busy_us(rows)}, RUNS)["turns"]
    print(measure.table(["stage", "µs busy per row"], found.items()))
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
