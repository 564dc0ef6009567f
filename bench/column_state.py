"""Windows over columns: how many rows a core takes in and gives results of, and how soon a successor works.

    python bench/column_state.py [--rows 4000000]

The state room alone, in one process, without queues: CPU time, with the changelog written for each batch. Results are
made, and not sent.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa

import penstock as ps
from penstock.event_time import END_OF_TIME
from penstock.operators.event_time import EventTime, Field
from penstock.operators.windowed.aggregate import Aggregate
from penstock.operators.windowed.given_columns import GivenColumns
from penstock.operators.windowed.sliced_calls import SlicedCall
from penstock.operators.windowed.windowed_operator import WindowOptions
from penstock.slot.state.slot_state import SlotState

BATCH_ROWS = 32_768
SPAN_S = 40
"""Of event time in all rows: four windows of ten seconds."""


def operator() -> Aggregate:
    options = WindowOptions(ps.tumbling("10s"))
    aggregations = (("n", ps.count()), ("total", ps.sum("v")))
    made = Aggregate(None, "", "key", options, aggregations=aggregations)
    return made.placed(dict[str, Any], EventTime(Field("ts"), "", "3s"))


def batches(rows: int, keys: int) -> list[pa.Table]:
    rng = numpy.random.default_rng(1)
    names = pa.array([f"user-{number:07d}" for number in range(keys)])
    times = numpy.arange(rows) * (SPAN_S / rows) + rng.random(rows) * 3
    table = pa.table({"key": names.take(pa.array(rng.integers(0, keys, rows))), "ts": times, "v": rng.random(rows)})
    return [table.slice(start, BATCH_ROWS).combine_chunks() for start in range(0, rows, BATCH_ROWS)]


def opened(base: Path, numbers: list[int], watermark: int) -> tuple[SlotState, SlicedCall]:
    state = SlotState()
    call = operator().with_state(None, None, state.stage("s").of("aggregate"))  # type: ignore[arg-type]
    assert isinstance(call, SlicedCall)
    state.open(base, numbers)
    call.begin(watermark)
    return state, call


def add(call: SlicedCall, batch: pa.Table) -> None:
    assert call.columns is not None
    taken = call.columns.take(batch, Any)
    assert taken is not None
    call.columns.add(taken)


def given_by(rows: Iterator[Any]) -> int:
    return sum(row.count if isinstance(row, GivenColumns) else 1 for row in rows)


def state_alone(rows: int, keys: int, folder: Path) -> None:
    """Rows per second of a core, and what a kill before the last window costs its successor."""
    made = batches(rows, keys)
    base = folder / f"log-{keys}"
    state, call = opened(base, [], -(2**63))
    began, given, newest = time.process_time(), 0, 0.0
    watermark = -(2**63)
    for batch in made:
        add(call, batch)
        state.flush()
        state.committed()
        newest = max(newest, batch["ts"][-1].as_py())
        watermark = int((newest - 6) * 1e6)
        given += given_by(iter(call.advance(watermark)))
    spent = time.process_time() - began
    numbers = state.flush()
    state.close()
    size = sum(path.stat().st_size for path in folder.glob(f"log-{keys}.*"))
    began = time.process_time()
    state, call = opened(base, numbers, watermark)
    add(call, made[-1])
    state.flush()
    first = time.process_time() - began
    began = time.process_time()
    given += given_by(iter(call.advance(END_OF_TIME)))
    rest = time.process_time() - began
    state.close()
    print(
        f"{keys:>9,} keys: {rows / spent / 1e6:.2f} M rows/s/core with {given:,} results; log {size / 1e6:.0f} MB; "
        f"successor's first commit after {first * 1e3:.1f} ms, all it holds given after {rest * 1e3:.0f} ms more"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for keys in (1_000, 100_000, 1_000_000):
            state_alone(args.rows, keys, Path(folder))


if __name__ == "__main__":
    main()
