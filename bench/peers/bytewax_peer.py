"""Bytewax: every worker runs the whole flow; there is no process per stage.

    python bench/peers/bytewax_peer.py w1|w2|w4 [--variant VARIANT] [--workers N]

`one`: in this process. `redistribute`: processes of a cluster; one reads, `op.redistribute` spreads the items. `split`:
processes of a cluster, each with its own part of the input. `flat`: as `split`, with one `op.flat_map_batch` a step,
the loop over rows in Python. `--batch` is the source's batch.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import bytewax.operators as op
from arguments import check_sums, parsed, result, tell_latency
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, FixedPartitionedSource, StatefulSourcePartition, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import cluster_main, run_main
from workloads import events, functions

SOURCE_BATCH = 1000
CHILD = "PENSTOCK_BENCH_BYTEWAX"
"""Set in the processes of a cluster: `number:ports`."""

arguments = parsed("one", "redistribute", "split", "flat", workers=2)
processes = 1 if arguments.variant == "one" else arguments.workers
split = arguments.variant in ("split", "flat")
number, ports = (json.loads(os.environ[CHILD]) if CHILD in os.environ else (0, []))
output = events.data_folder() / "out" / f"bytewax-{arguments.variant}"
found: dict[str, Any] = {"began": None, "ended": None, "count": 0, "sum": 0, "latencies": []}


class Part(StatefulSourcePartition[Any, None]):
    """Batches of an iterable."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        found["began"] = found["began"] or time.monotonic()

    def next_batch(self) -> list[Any]:
        batch = list(islice(self._items, SOURCE_BATCH))
        if not batch:
            raise StopIteration
        return batch

    def snapshot(self) -> None:
        return None


class Source(FixedPartitionedSource[Any, None]):
    """Numbers or lines, in as many parts as read."""

    def list_parts(self) -> list[str]:
        return [str(part) for part in range(processes if split else 1)]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Part:
        first, step = int(for_part), processes if split else 1
        if arguments.workload == "w1":
            return Part(range(first, arguments.rows, step))
        return Part(self._lines(first, step) if split else events.lines(arguments.rows))

    def _lines(self, first: int, step: int) -> Iterator[bytes]:
        for path in events.first_parts(arguments.rows)[first::step]:
            with path.open("rb") as lines:
                yield from lines


class PacedPart(StatelessSourcePartition[Any]):
    """Events as they fall due, as `pacing.paced` gives them, by Bytewax's own clock."""

    def __init__(self) -> None:
        self._next = 0
        self._step_ns = 1_000_000_000 // arguments.rate
        self._begin_ns = time.monotonic_ns() + 5_000_000
        self._begin = datetime.now(UTC) + timedelta(milliseconds=5)

    def next_batch(self) -> list[tuple[int, int]]:
        if self._next >= arguments.rate * arguments.seconds:
            raise StopIteration
        batch, now = [], time.monotonic_ns()
        while self._next < arguments.rate * arguments.seconds and self._due_ns() <= now:
            batch.append((self._next, self._due_ns()))
            self._next += 1
        return batch

    def next_awake(self) -> datetime:
        return self._begin + timedelta(microseconds=self._next * self._step_ns // 1000)

    def _due_ns(self) -> int:
        return self._begin_ns + self._next * self._step_ns


class NoPart(StatelessSourcePartition[Any]):
    def next_batch(self) -> list[Any]:
        raise StopIteration


class PacedSource(DynamicSource[Any]):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSourcePartition[Any]:
        return PacedPart() if worker_index == 0 else NoPart()


class Sums(StatelessSinkPartition[int]):
    def write_batch(self, items: list[int]) -> None:
        for doubled in items:
            found["count"] += 1
            found["sum"] += doubled

    def close(self) -> None:
        found["ended"] = time.monotonic()


class Lines(StatelessSinkPartition[dict[str, Any]]):
    def __init__(self) -> None:
        self._file = (output / f"part-{number}.jsonl").open("wb")

    def write_batch(self, items: list[dict[str, Any]]) -> None:
        for visit in items:
            self._file.write(functions.dump(visit) + b"\n")

    def close(self) -> None:
        self._file.close()
        found["ended"] = time.monotonic()


class Latencies(StatelessSinkPartition[tuple[int, int]]):
    def write_batch(self, items: list[tuple[int, int]]) -> None:
        for event in items:
            found["latencies"].append(time.monotonic_ns() - event[1])


class Sink(DynamicSink[Any]):
    def __init__(self, part: type[StatelessSinkPartition[Any]]) -> None:
        self._part = part

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition[Any]:
        return self._part()


def flow() -> Dataflow:
    made = Dataflow("bench")
    stream = op.input("in", made, PacedSource() if arguments.workload == "w4" else Source())
    if arguments.variant == "redistribute":
        stream = op.redistribute("spread", stream)
    steps: dict[str, list[Callable[[Any], Any]]] = {
        "w1": [functions.double],
        "w2": [functions.parse, functions.normalise, functions.enrich, functions.score],
        "w4": [lambda event: (event[0] * 2, event[1])],
    }
    for name, function in enumerate(steps[arguments.workload]):
        stream = step(f"step-{name}", stream, function)
    op.output("out", stream, Sink({"w1": Sums, "w2": Lines, "w4": Latencies}[arguments.workload]))
    return made


def step(name: str, stream: Any, function: Callable[[Any], Any]) -> Any:
    if arguments.variant == "flat":
        return op.flat_map_batch(name, stream, lambda rows: [function(row) for row in rows])
    return op.map(name, stream, function)


def cluster() -> list[dict[str, Any]]:
    """What the processes of a cluster found."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(processes)]
    taken = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    children = [
        subprocess.Popen(
            [sys.executable, *sys.argv], stdout=subprocess.PIPE, env={**os.environ, CHILD: json.dumps([child, taken])}
        )
        for child in range(processes)
    ]
    told = [child.communicate()[0] for child in children]
    assert not any(child.returncode for child in children)
    return [json.loads(each.splitlines()[-1]) for each in told]  # the cluster says there, too, that it is connecting


def main() -> None:
    if CHILD in os.environ:
        cluster_main(flow(), [f"localhost:{port}" for port in ports], number)
        print(json.dumps(found))
        return
    script_began = time.monotonic()
    events.whole_file()
    events.output(output.name, "")
    if processes == 1:
        run_main(flow())
        parts = [found]
    else:
        parts = cluster()
    if arguments.workload == "w4":
        latencies = [latency for part in parts for latency in part["latencies"]]
        tell_latency(latencies, int(arguments.rate * arguments.seconds))
        return
    if arguments.workload == "w1":
        check_sums(arguments.rows, sum(part["count"] for part in parts), sum(part["sum"] for part in parts))
    steady_s = max(part["ended"] for part in parts) - min(part["began"] for part in parts if part["began"])
    where = {"output": str(output), "json": functions.JSON} if arguments.workload == "w2" else {}
    total_s = round(time.monotonic() - script_began, 3)
    rows = arguments.rows
    result(rows=rows, steady_s=round(steady_s, 4), rows_s=round(rows / steady_s), total_s=total_s, **where)


main()
