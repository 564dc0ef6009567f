"""Who is measured on which workload: loops, `multiprocessing.Queue`, penstock and its peers, each as a command.

`throughput` and `latency` run them by `side_by_side`. Sizes are such that a run takes one to a few seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import measure
from peers.environments import python_of


class Kind(Enum):
    """What a contestant is; tables are grouped by it."""

    LOOP = "bare loop"
    QUEUE = "mp.Queue"
    PENSTOCK = "penstock"
    PEER = "peer"
    LIMIT = "computed limit"


class Role(Enum):
    """What a contestant is for the others, besides."""

    NONE = 0
    ONE_BY_ONE = 1
    """The pipeline of `multiprocessing.Queue`s that passes items one by one."""
    BY_HAND = 2
    """The same, with lists made by hand."""
    COLUMNS = 3
    """The library for columns that penstock is compared with in `columns`."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One line of a table."""

    name: str
    kind: Kind
    script: str
    options: str
    environment: str = "plain"
    """The peer's virtual environment. Loops and queues run in this interpreter's where no peers are wanted."""
    role: Role = Role.NONE
    env: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False
    """True: a run takes long, and three of them are enough."""
    short: bool = False
    """True: belongs to the short set."""

    def command(self, *, with_peers: bool) -> list[str]:
        """What is run."""
        own = self.kind in (Kind.PENSTOCK, Kind.LIMIT) or not with_peers
        python = sys.executable if own else str(python_of(self.environment))
        return [python, str(measure.HERE / self.script), *self.options.split()]


def _loop(name: str, script: str, options: str, **more: Any) -> Contestant:
    return Contestant(name, Kind.LOOP, f"peers/{script}.py", options, **more)


def _queue(name: str, options: str, **more: Any) -> Contestant:
    return Contestant(f"mp.Queue, {name}", Kind.QUEUE, "peers/mp_queue.py", options, **more)


def _penstock(name: str, script: str, options: str = "", **more: Any) -> Contestant:
    return Contestant(f"penstock, {name}", Kind.PENSTOCK, f"flows/{script}.py", options, **more)


def _limit(name: str, options: str, **more: Any) -> Contestant:
    return Contestant(f"computed limit, {name}", Kind.LIMIT, "limits.py", options, **more)


def _peer(name: str, script: str, options: str, environment: str, **more: Any) -> Contestant:
    return Contestant(name, Kind.PEER, f"peers/{script}.py", options, environment, **more)


W1 = [
    _loop("bare loop", "plain", "w1 --rows 20000000", short=True),
    _queue("3 stages, one by one", "w1 --rows 200000", role=Role.ONE_BY_ONE, short=True),
    _queue("3 stages, lists of 1,000 by hand", "w1 --rows 10000000 --batch 1000", role=Role.BY_HAND, short=True),
    _penstock("3 stages", "w1", short=True),
    _peer("mp.Pool.imap, 2 workers, chunks of 1,000", "mp_pool", "w1 --rows 5000000 --batch 1000", "plain"),
    _peer("numpy, one process", "columnar", "w1 --rows 500000000", "columnar"),
    _peer("pypeln, 3 stages", "pypeln_peer", "w1 --rows 10000", "pypeln", slow=True),
    _peer("pypeln, 3 stages, lists of 1,000 by hand", "pypeln_peer", "w1 --rows 2000000 --batch 1000", "pypeln",
          slow=True),
    _peer("Bytewax, 1 process", "bytewax_peer", "w1 --rows 15000000 --variant one", "bytewax"),
    _peer("Bytewax, 2 processes, redistribute", "bytewax_peer", "w1 --rows 2000000 --variant redistribute", "bytewax"),
    _peer("Bytewax, 2 processes, split source", "bytewax_peer", "w1 --rows 15000000 --variant split", "bytewax"),
    _peer("Pathway, Python functions", "pathway_peer", "w1", "pathway", slow=True),
    _peer("Pathway, expressions", "pathway_peer", "w1 --variant native", "pathway", slow=True),
    _peer("Ray Data, map_batches", "ray_peer", "w1 --rows 4000000", "raydata", slow=True),
    _peer("Ray Data, an actor per stage", "ray_peer", "w1 --rows 4000000 --variant actors", "raydata", slow=True),
    _peer("Ray Data, map", "ray_peer", "w1 --rows 1000000 --variant map", "raydata", slow=True),
    _peer("mpipe, lists of 1,000 by hand", "mpipe_peer", "w1 --rows 8000000 --batch 1000", "mpipe"),
    _peer("streamz, one process", "streamz_peer", "w1 --rows 1000000", "streamz"),
    _peer("Beam, DirectRunner", "beam_peer", "w1 --rows 200000", "beam", slow=True),
    _peer("PyFlink, process mode", "flink_peer", "w1 --rows 1000000", "flink", slow=True),
    _peer("PyFlink, thread mode", "flink_peer", "w1 --rows 1000000 --variant thread", "flink", slow=True),
]  # fmt: skip

W2 = [
    _loop("bare loop, dicts", "plain", "w2 --variant dicts", short=True),
    _loop("bare loop, Structs, line by line", "plain", "w2 --variant structs"),
    _loop("bare loop, Structs, blocks of lines", "plain", "w2 --variant blocks", short=True),
    _queue("5 stages, one by one", "w2 --rows 50000", role=Role.ONE_BY_ONE, short=True),
    _queue("5 stages, lists of 100 by hand", "w2 --batch 100", role=Role.BY_HAND, short=True),
    _queue("5 stages, lists of 1,000 by hand", "w2 --batch 1000"),
    _queue("5 stages, Structs, lists of 100 by hand", "w2 --batch 100 --variant structs"),
    _queue("fused, 2 workers, lists of 100 by hand", "w2 --batch 100 --variant fused --workers 2"),
    _limit("fused, all cores", "fused"),
    _penstock("fused, 2 workers, Structs", "w2", "fused", short=True),
    _penstock("fused, 2 workers, dicts", "w2", "fused --rows dicts"),
    _limit("5 stages, all cores", "staged", short=True),
    _penstock("5 stages, Structs", "w2", "staged", short=True),
    _penstock("5 stages, dicts", "w2", "staged --rows dicts"),
    _peer("mp.Pool.imap, 2 workers, chunks of 100", "mp_pool", "w2 --batch 100", "plain"),
    _peer("pypeln, 5 stages", "pypeln_peer", "w2 --rows 5000", "pypeln", slow=True),
    _peer("pypeln, 5 stages, lists of 1,000 by hand", "pypeln_peer", "w2 --batch 1000", "pypeln", slow=True),
    _peer("Bytewax, 1 process", "bytewax_peer", "w2 --variant one", "bytewax"),
    _peer("Bytewax, 2 processes, redistribute", "bytewax_peer", "w2 --variant redistribute", "bytewax"),
    _peer("Bytewax, 2 processes, split source", "bytewax_peer", "w2 --variant split", "bytewax"),
    _peer("Bytewax, 2 processes, split, flat_map_batch", "bytewax_peer", "w2 --variant flat", "bytewax"),
    _peer("Pathway, Python functions, 2 threads", "pathway_peer", "w2", "pathway", env={"PATHWAY_THREADS": "2"},
          slow=True),
    _peer("Pathway, expressions, 2 threads", "pathway_peer", "w2 --variant native", "pathway",
          env={"PATHWAY_THREADS": "2"}, slow=True),
    _peer("Ray Data, map_batches", "ray_peer", "w2", "raydata", slow=True),
    _peer("Ray Data, map", "ray_peer", "w2 --rows 200000 --variant map", "raydata", slow=True),
    _peer("mpipe, 5 stages, lists of 1,000 by hand", "mpipe_peer", "w2 --batch 1000", "mpipe"),
    _peer("streamz, one process", "streamz_peer", "w2 --rows 200000", "streamz"),
    _peer("Beam, DirectRunner", "beam_peer", "w2 --rows 200000", "beam", slow=True),
    _peer("PyFlink, process mode", "flink_peer", "w2", "flink", slow=True),
    _peer("PyFlink, thread mode", "flink_peer", "w2 --variant thread", "flink", slow=True),
]  # fmt: skip

COLUMNS = [
    _loop("polars, lazy query, all cores", "columnar", "w2", environment="columnar", role=Role.COLUMNS, short=True),
    _loop("polars, lazy query, 1 thread", "columnar", "w2", environment="columnar", env={"POLARS_MAX_THREADS": "1"}),
    _loop("polars, lazy query to Parquet", "columnar", "w2 --variant polars-parquet", environment="columnar"),
    _loop("DuckDB", "columnar", "w2 --variant duckdb", environment="columnar"),
    _penstock("polars batches", "w2_columns", "polars", short=True),
    _penstock("Arrow batches", "w2_columns", "arrow", short=True),
    _penstock("polars batches to Parquet", "w2_columns", "polars --to parquet"),
]

LATENCY = [
    _queue("3 stages, 5,000/s", "w4", role=Role.ONE_BY_ONE, short=True),
    _penstock("3 stages, 5,000/s", "w4", "--rate 5000", short=True),
    _queue("3 stages, 50,000/s", "w4 --rate 50000 --seconds 5", short=True),
    _penstock("3 stages, 50,000/s", "w4", "--rate 50000 --seconds 5", short=True),
    _peer("pypeln, 3 stages, 1,000/s", "pypeln_peer", "w4 --rate 1000 --seconds 5", "pypeln", slow=True),
    _peer("pypeln, 3 stages, 5,000/s", "pypeln_peer", "w4 --seconds 5", "pypeln", slow=True),
    _peer("Bytewax, 1 process, 5,000/s", "bytewax_peer", "w4 --variant one --seconds 5", "bytewax"),
    _peer("Bytewax, 1 process, 50,000/s", "bytewax_peer", "w4 --variant one --rate 50000 --seconds 5", "bytewax"),
    _peer("Bytewax, 2 processes, redistribute, 5,000/s", "bytewax_peer", "w4 --variant redistribute --seconds 5",
          "bytewax"),
    _peer("Pathway, a commit every 10 ms, 5,000/s", "pathway_peer", "w4 --seconds 5", "pathway", slow=True),
    _peer("Pathway, a commit every 1 ms, 5,000/s", "pathway_peer", "w4 --seconds 5", "pathway",
          env={"PENSTOCK_BENCH_COMMIT_MS": "1"}),
    _peer("Ray actors, 500/s", "ray_peer", "w4 --rate 500 --seconds 5", "raydata", slow=True),
    _peer("Ray actors, 5,000/s", "ray_peer", "w4 --seconds 5", "raydata", slow=True),
    _peer("streamz, one process, 5,000/s", "streamz_peer", "w4 --seconds 5", "streamz"),
]  # fmt: skip
