"""The two pipelines of `backpressure.py`, of one shape: a fast source, a stage that passes on, a sink that takes long.

    python bench/backpressure_pipelines.py penstock|queues FOLDER

Files in FOLDER say when: the source starts at `go` and ends at `enough`; the sink stops taking its time at `release`.
At the end the sink writes to `arrived` what it was given. `queues` joins its processes by `multiprocessing.Queue`s
without a limit, as its documentation shows them.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure

import penstock as ps

SOURCE_PER_S = 200_000
SINK_ROW_S = 0.0005
"""So the sink takes somewhat less than 2,000 rows a second."""
TEXT_CHARACTERS = 100
FIRST_ROWS = 100
"""So many rows come before `go`: the pipeline has worked once when it is called idle."""
_LOOK_EVERY = 500

Row = dict[str, Any]


def row(number: int) -> Row:
    return {"id": number, "text": str(number).rjust(TEXT_CHARACTERS)}


@dataclass(frozen=True)
class Numbers:
    """The source: what falls due by the clock, as fast as it is taken."""

    folder: Path

    def __call__(self) -> Iterator[Row]:
        yield from map(row, range(FIRST_ROWS))
        while not (self.folder / "go").exists():
            time.sleep(0.02)
        began, number = time.monotonic(), FIRST_ROWS
        while not (self.folder / "enough").exists():
            ahead_s = number / SOURCE_PER_S - (time.monotonic() - began)
            if ahead_s > 0:
                time.sleep(ahead_s)
            yield from map(row, range(number, number + _LOOK_EVERY))
            number += _LOOK_EVERY


def unchanged(each: Row) -> Row:
    return each


@dataclass
class Slow:
    """The sink: takes its time, and keeps count of what came and whether it came in order."""

    folder: Path
    rows: int = 0
    misplaced: int = 0
    released: bool = False

    def __call__(self, each: Row) -> None:
        self.misplaced += each["id"] != self.rows
        self.rows += 1
        if self.rows % _LOOK_EVERY == 0:
            self.released = self.released or (self.folder / "release").exists()
        if not self.released:
            time.sleep(SINK_ROW_S)

    def close(self) -> None:
        (self.folder / "arrived").write_text(json.dumps({"rows": self.rows, "misplaced": self.misplaced}))


def by_penstock(folder: Path) -> None:
    app = ps.Pipeline("bench-backpressure")
    rows = app.source(Numbers(folder), name="numbers").stage("pass").map(unchanged)
    rows.sink(Slow(folder), name="slow")
    queues = sum(edge.memory_bytes for edge in app.plan().edges)
    handle = app.start(fresh=True, state_dir=folder / "state")
    print(f"RUNS {json.dumps({'run_dir': str(handle.run_dir), 'queues': queues})}", flush=True)
    measure.result(sent=handle.wait().stages["numbers"].rows_out)


def by_queues(folder: Path) -> None:
    first: multiprocessing.Queue[Row | None] = multiprocessing.Queue()
    second: multiprocessing.Queue[Row | None] = multiprocessing.Queue()
    stages = [
        multiprocessing.Process(target=_send, args=(folder, first)),
        multiprocessing.Process(target=_pass_on, args=(first, second)),
        multiprocessing.Process(target=_take, args=(folder, second)),
    ]
    for stage in stages:
        stage.start()
    print("RUNS {}", flush=True)
    for stage in stages:
        stage.join()


def _send(folder: Path, queue: multiprocessing.Queue[Row | None]) -> None:
    for sent, each in enumerate(Numbers(folder)(), start=1):
        queue.put(each)
        if sent % 10_000 == 0:
            (folder / "sent").write_text(str(sent))
    queue.put(None)


def _pass_on(first: multiprocessing.Queue[Row | None], second: multiprocessing.Queue[Row | None]) -> None:
    while (each := first.get()) is not None:
        second.put(unchanged(each))
    second.put(None)


def _take(folder: Path, queue: multiprocessing.Queue[Row | None]) -> None:
    sink = Slow(folder)
    while (each := queue.get()) is not None:
        sink(each)
        if sink.rows % _LOOK_EVERY == 0:
            sink.close()
    sink.close()


if __name__ == "__main__":
    {"penstock": by_penstock, "queues": by_queues}[sys.argv[1]](Path(sys.argv[2]))
