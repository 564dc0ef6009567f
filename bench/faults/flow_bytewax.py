"""Bytewax in two processes with its recovery store; every process runs every step."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from faults import trouble


class Part(StatefulSourcePartition):  # type: ignore[misc]
    def __init__(self, at: int) -> None:
        self._at = at
        self._rows = trouble.Orders.given().rows

    def next_batch(self) -> list[int]:
        if self._at >= self._rows:
            raise StopIteration
        end = min(self._at + 10, self._rows)
        batch = []
        for number in range(self._at, end):
            trouble.time.sleep(trouble.SOURCE_S)
            batch.append(trouble.read(number))
        self._at = end
        return batch

    def snapshot(self) -> int:
        return self._at


class Numbers(FixedPartitionedSource):  # type: ignore[misc]
    def list_parts(self) -> list[str]:
        return ["all"]

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> Part:
        return Part(resume_state or 0)


class Writing(StatelessSinkPartition):  # type: ignore[misc]
    def __init__(self) -> None:
        self._lines = trouble.Lines()

    def write_batch(self, items: list[int]) -> None:
        for value in items:
            self._lines.put(value)


class Sink(DynamicSink):  # type: ignore[misc]
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Writing:
        return Writing()


def flow() -> Any:
    made = Dataflow("kill_matrix")
    numbers = op.redistribute("spread", op.input("source", made, Numbers()))
    op.output("sink", op.flat_map("fan-out", op.map("stage", numbers, trouble.work), trouble.fan), Sink())
    return made


def main() -> None:
    store = Path(os.environ["BENCH_FOLDER"]) / "store"
    if "BENCH_PROCESS" in os.environ:
        cluster_main(
            flow(), os.environ["BENCH_ADDRESSES"].split(), int(os.environ["BENCH_PROCESS"]),
            epoch_interval=timedelta(seconds=0.25), recovery_config=RecoveryConfig(str(store)),
        )
        return
    if not store.exists():
        store.mkdir()
        init_db_dir(store, 1)
    addresses = " ".join(f"localhost:{port}" for port in free_ports(2))
    processes = [
        subprocess.Popen(
            [sys.executable, *sys.argv], env={**os.environ, "BENCH_PROCESS": str(n), "BENCH_ADDRESSES": addresses}
        )
        for n in range(2)
    ]
    sys.exit(max(abs(process.wait()) for process in processes))


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


if __name__ == "__main__":
    main()
