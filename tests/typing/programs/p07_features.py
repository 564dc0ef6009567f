"""An ML engineer: features over column batches with polars and Arrow, then numpy."""
from typing import reveal_type

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

import penstock as ps
from penstock.connectors import files


class Features(msgspec.Struct):
    sym: str
    ts: int
    spread: float
    z: float

def spread(ticks: pl.DataFrame) -> pl.DataFrame:
    return ticks.with_columns(spread=pl.col("ask") - pl.col("bid")).filter(pl.col("spread") >= 0)

def zscore(batch: pa.RecordBatch) -> pa.RecordBatch:
    values = batch["spread"].to_numpy()
    return batch.append_column("z", pa.array((values - values.mean()) / (np.std(values) + 1e-9)))

app = ps.Pipeline("features")
rows = app.source(files.parquet("ticks/*.parquet"), name="ticks", workers=4).map_batches(spread)
reveal_type(rows)  # Stream[dict[str, Any]]
features = rows.stage("z", workers=2).map_batches(zscore, type=Features)
features.sink(files.parquet("features/", roll="512 MiB"))
features.filter(lambda f: abs(f.z) > 4).sink(print)
reveal_type(features)  # Stream[Features]

if __name__ == "__main__":
    app.run()
