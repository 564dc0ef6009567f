"""Ray Data's streaming executor; for w4, plain Ray actors.

    python bench/peers/ray_peer.py w1|w2|w4 [--variant VARIANT]

`batches`: `map_batches`, one per stage, the loop over rows in Python; Ray fuses neighbours into one task. `actors`: the
same with a one-actor pool per stage, so each is a process of its own. `map`: `Dataset.map`, row by row. The input is
read from eight files and the output written as Parquet. `ray.init` is not timed, and its workers are warmed up first.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
from arguments import StopWatch, check_sums, parsed, tell_latency
from workloads import events, functions
from workloads.pacing import paced

BATCH = 1024
IN_FLIGHT = 1000
"""Calls that the source of w4 has under way at most."""

arguments = parsed("batches", "actors", "map")
watch = StopWatch()
Columns = dict[str, Any]


def start_ray() -> None:
    here = Path(__file__).resolve().parent
    ray.init(
        num_cpus=6 if arguments.variant == "actors" else os.cpu_count(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=2 << 30,
        runtime_env={"env_vars": {"PYTHONPATH": f"{here}:{here.parent}"}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def warm_up() -> None:
    data = ray.data.range(1000, override_num_blocks=8).map_batches(lambda batch: {"v": batch["id"] * 2})
    for _ in data.iter_batches():
        pass


def as_columns(rows: list[dict[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def as_rows(batch: Columns) -> list[dict[str, Any]]:
    return [dict(zip(batch, row, strict=True)) for row in zip(*(c.tolist() for c in batch.values()), strict=True)]


class Double:
    def __call__(self, batch: Columns) -> Columns:
        return {"v": [number * 2 for number in batch["id"].tolist()]}


class ParseAndNormalise:
    def __call__(self, batch: Columns) -> Columns:
        return as_columns([functions.parse_and_normalise(line) for line in batch["text"].tolist()])


class Enrich:
    def __call__(self, batch: Columns) -> Columns:
        return as_columns([functions.enrich(row) for row in as_rows(batch)])


class Score:
    def __call__(self, batch: Columns) -> Columns:
        return as_columns([functions.score(row) for row in as_rows(batch)])


def stage(data: Any, kind: type[Callable[[Columns], Columns]]) -> Any:
    if arguments.variant == "actors":
        return data.map_batches(kind, batch_size=BATCH, concurrency=1)
    return data.map_batches(lambda batch: kind()(batch), batch_size=BATCH)


def w1() -> None:
    warm_up()
    watch.start()
    data = ray.data.range(arguments.rows, override_num_blocks=16)
    if arguments.variant == "map":
        data = data.map(lambda row: {"v": row["id"] * 2})
    else:
        data = stage(data, Double)
    count = total = 0
    for batch in data.iter_batches(batch_size=8192):
        count += len(batch["v"])
        total += int(batch["v"].sum())
    watch.done(arguments.rows)
    check_sums(arguments.rows, count, total)


def w2() -> None:
    output = events.output(f"ray-{arguments.variant}", "")
    sources = [str(path) for path in events.first_parts(arguments.rows)]
    warm_up()
    watch.start()
    data = ray.data.read_text(sources, override_num_blocks=len(sources))
    if arguments.variant == "map":
        data = data.map(lambda row: functions.parse_and_normalise(row["text"]))
        data = data.map(functions.enrich).map(functions.score)
    else:
        for kind in (ParseAndNormalise, Enrich, Score):
            data = stage(data, kind)
    data.write_parquet(str(output))
    watch.done(arguments.rows, output=output, json=functions.JSON)


@ray.remote(num_cpus=0)
class LastActor:
    def __init__(self) -> None:
        self._latencies: list[int] = []

    def put(self, event: tuple[int, int]) -> None:
        self._latencies.append(time.monotonic_ns() - event[1])

    def latencies(self) -> list[int]:
        return self._latencies


@ray.remote(num_cpus=0)
class MiddleActor:
    def __init__(self, behind: Any) -> None:
        self._behind = behind
        self._last: Any = None

    def put(self, event: tuple[int, int]) -> None:
        self._last = self._behind.put.remote((event[0] * 2, event[1]))

    def flush(self) -> None:
        ray.get(self._last)


@ray.remote(num_cpus=0)
class FirstActor:
    def run(self, behind: Any, rate: int, seconds: float) -> None:
        under_way = []
        for event in paced(rate, seconds):
            under_way.append(behind.put.remote(event))
            if len(under_way) > IN_FLIGHT:
                ray.wait(under_way, num_returns=IN_FLIGHT // 2)
                under_way = under_way[IN_FLIGHT // 2 :]
        ray.get(under_way)


def w4() -> None:
    last = LastActor.remote()
    middle, first = MiddleActor.remote(last), FirstActor.remote()
    ray.get(first.run.remote(middle, 100, 0.5))  # the first calls start the actors
    ray.get(middle.flush.remote())
    warm = len(ray.get(last.latencies.remote()))
    ray.get(first.run.remote(middle, arguments.rate, arguments.seconds))
    ray.get(middle.flush.remote())
    latencies = ray.get(last.latencies.remote())[warm:]
    tell_latency(latencies, int(arguments.rate * arguments.seconds))


start_ray()
{"w1": w1, "w2": w2, "w4": w4}[arguments.workload]()
ray.shutdown()
