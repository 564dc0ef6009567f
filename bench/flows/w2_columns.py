"""w2 on columns: JSON lines -> `map_batches` that parses, normalises, enriches and scores -> JSON lines or Parquet.

    python bench/flows/w2_columns.py polars|arrow [--to json_lines|parquet]

Two stages, each of two workers: one reads and computes, one writes, worker by worker. The source is split in eight
files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure
import polars as pl
import pyarrow as pa
import pyarrow.json
from flows.clocked import ClockedSink, ClockedSource, StopWatch
from workloads import columns, events

import penstock as ps
from penstock.connectors import files

EVENT = pl.Struct(columns.polars_schema())
ARROW_EVENT = pa.schema(
    [(name, pa.int64() if kind is pl.Int64 else pa.string()) for name, kind in columns.polars_schema().items()]
)


def by_polars(lines: pl.DataFrame) -> pl.DataFrame:
    """A column of lines in, scored visits out."""
    parsed = lines.lazy().select(pl.col("value").str.json_decode(EVENT).alias("event")).unnest("event")
    return columns.polars_query(parsed).collect(engine="in-memory")  # a batch is no stream


def by_arrow(lines: pa.RecordBatch) -> pa.RecordBatch:
    """The same with Arrow's kernels."""
    text = "\n".join(lines["value"].to_pylist()).encode()
    options = pyarrow.json.ParseOptions(explicit_schema=ARROW_EVENT)
    table = pyarrow.json.read_json(pa.BufferReader(text), parse_options=options)
    return columns.arrow_query(table.combine_chunks().to_batches()[0])


def pipeline(library: str, form: str, out: Path, watch: StopWatch) -> ps.Pipeline:
    app = ps.Pipeline(f"bench-w2-{library}-{form}")
    lines: Any = files.lines([str(path) for path in events.part_files()])
    source = app.source(ClockedSource(lines, watch), name="compute", workers=2)
    scored = source.map_batches(by_polars if library == "polars" else by_arrow)
    write = files.parquet if form == "parquet" else files.json_lines
    sink = ClockedSink(write(f"{out}/", if_exists="overwrite"), watch)
    scored.sink(sink, name="store", workers=2, edge=ps.Edge(route="forward"))
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=("polars", "arrow"))
    parser.add_argument("--to", choices=("json_lines", "parquet"), default="json_lines")
    given = parser.parse_args()
    out = events.output(f"penstock-columns-{given.library}-{given.to}", "")
    with tempfile.TemporaryDirectory() as folder:
        watch = StopWatch(Path(folder))
        app = pipeline(given.library, given.to, out, watch)
        began = time.monotonic()
        report = app.run(fresh=True, state_dir=folder, progress=False)
        total_s = time.monotonic() - began
        steady_s = watch.seconds()
    rows = report.stages["compute"].rows_in
    busy = {f"busy_us_{name}": round(stage.busy_s / rows * 1e6, 3) for name, stage in report.stages.items()}
    told = {"rows": rows, "steady_s": round(steady_s, 4), "rows_s": round(rows / steady_s)}
    measure.result(**told, total_s=round(total_s, 3), output=str(out), **busy)


if __name__ == "__main__":
    main()
