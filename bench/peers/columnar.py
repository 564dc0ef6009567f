"""Libraries for columns, in one process: numpy for w1, polars and DuckDB for w2.

    python bench/peers/columnar.py w1|w2 [--variant VARIANT]

polars takes as many threads as there are cores, unless `POLARS_MAX_THREADS` says otherwise.
"""

from __future__ import annotations

from pathlib import Path

from arguments import StopWatch, check_sums, parsed
from workloads import columns, events

arguments = parsed("polars", "polars-parquet", "duckdb", workloads=("w1", "w2"))
watch = StopWatch()


def w1() -> None:
    import numpy as np

    block = 1 << 16
    watch.start()
    count = total = 0
    for start in range(0, arguments.rows, block):
        doubled = np.arange(start, min(start + block, arguments.rows), dtype=np.int64) * 2
        count += len(doubled)
        total += int(doubled.sum())
    watch.done(arguments.rows)
    check_sums(arguments.rows, count, total)


def polars(source: Path) -> None:
    import polars as pl

    parquet = arguments.variant == "polars-parquet"
    output = events.output(arguments.variant, ".parquet" if parquet else ".jsonl")
    watch.start()
    query = columns.polars_query(pl.scan_ndjson(source, schema=columns.polars_schema()))
    if parquet:
        query.sink_parquet(output)
    else:
        query.sink_ndjson(output)
    watch.done(arguments.rows, output=output, threads=pl.thread_pool_size())


def duckdb(source: Path) -> None:
    import duckdb
    import pyarrow

    output = events.output("duckdb")
    watch.start()
    with duckdb.connect() as connection:
        connection.register("users", pyarrow.table(columns.users()))
        connection.execute(columns.duckdb_statement(str(source), str(output), "JSON"))
    watch.done(arguments.rows, output=output)


if arguments.workload == "w1":
    w1()
elif arguments.variant == "duckdb":
    duckdb(events.first_lines(arguments.rows))
else:
    polars(events.first_lines(arguments.rows))
