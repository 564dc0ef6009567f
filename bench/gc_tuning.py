"""What the collector's tuning in workers brings: the same pipeline with it and with Python's defaults, in turns.

    python bench/gc_tuning.py

Three isolated stages pass dicts with nested containers; the middle one makes new ones. The table shows the median of
five runs each, and what the collector did in the middle stage.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import penstock as ps
import penstock.slot.main as worker

ROWS = 600_000
RUNS = 5
NOTE = "PENSTOCK_BENCH_NOTE"


class PythonsDefaults:
    """Stands in for `TurnGc`: the collector as Python starts it."""

    def __init__(self) -> None:
        gc.unfreeze()
        gc.set_threshold(700, 10, 10)

    def between_turns(self) -> None:
        return None


if os.environ.get("PENSTOCK_BENCH_GC") == "default":
    worker.TurnGc = PythonsDefaults  # type: ignore[misc, assignment]


class Rebuild:
    """Makes a new dict of each, and keeps count of the collections that happen meanwhile."""

    def open(self, context: ps.Context) -> None:
        self.collections = [0, 0, 0]
        self.seconds = 0.0
        self.began = 0.0
        gc.callbacks.append(self.note)

    def note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self.began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self.began
            self.collections[info["generation"]] += 1

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"id": row["id"], "tags": [row["id"], row["v"]], "m": {"v": row["v"] * 2}}

    def close(self) -> None:
        Path(os.environ[NOTE]).write_text(json.dumps({"collections": self.collections, "seconds": self.seconds}))


def rows() -> Iterator[dict[str, Any]]:
    for number in range(ROWS):
        yield {"id": number, "v": number * 0.5, "tags": ["a", "b"], "m": {"x": 1}}


def unchanged(row: dict[str, Any]) -> dict[str, Any]:
    return row


app = ps.Pipeline("bench-gc")
app.source(rows).stage("rebuild").map(Rebuild).stage("end").map(unchanged).sink(ps.discard(), fused=True)


def measure(mode: str) -> tuple[float, dict[str, Any]]:
    os.environ["PENSTOCK_BENCH_GC"] = mode
    report = app.run(fresh=True, progress=False)
    return ROWS / report.duration_s, json.loads(Path(os.environ[NOTE]).read_text())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ[NOTE] = str(Path(folder) / "note.json")
        results: dict[str, list[tuple[float, dict[str, Any]]]] = {"tuned": [], "default": []}
        for _ in range(RUNS):
            for mode, seen in results.items():
                seen.append(measure(mode))
    print(f"{'collector':<10} {'rows/s':>10}  collections by generation  seconds in them")
    for mode, seen in results.items():
        rate = statistics.median(rate for rate, _ in seen)
        last = seen[-1][1]
        print(f"{mode:<10} {rate:>10,.0f}  {last['collections']!s:<25}  {last['seconds']:.3f}")
    ratio = statistics.median(t / d for (t, _), (d, _) in zip(results["tuned"], results["default"], strict=True))
    print(f"tuned / default: {ratio:.2f}")


if __name__ == "__main__":
    main()
