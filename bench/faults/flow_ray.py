"""Ray Data: blocks of 100 rows through pools of two tasks; the sink is the loop of the main process."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import ray

from faults import trouble

BLOCK = 100


def source(row: dict[str, Any]) -> dict[str, Any]:
    trouble.time.sleep(trouble.SOURCE_S)
    return {"id": trouble.read(int(row["id"]))}


def stage(row: dict[str, Any]) -> dict[str, Any]:
    return {"id": trouble.work(int(row["id"]))}


def fan(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"v": value} for value in trouble.fan(int(row["id"]))]


def main() -> None:
    ray.init(
        num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
        object_store_memory=256 << 20,
        runtime_env={"env_vars": {k: v for k, v in os.environ.items() if k.startswith("BENCH_") or k == "PYTHONPATH"}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = trouble.Orders.given().rows
    # A pool's size differs from the next one's, as Ray fuses steps that are alike into one.
    numbers = ray.data.range(rows, override_num_blocks=rows // BLOCK).map(source, concurrency=1)
    values = numbers.map(stage, concurrency=2, num_cpus=0.9).flat_map(fan, concurrency=1, num_cpus=0.8)
    lines = trouble.Lines()
    for block in values.iter_batches(batch_size=None):
        for value in block["v"]:
            lines.put(int(value))


if __name__ == "__main__":
    main()
    sys.exit(0)
