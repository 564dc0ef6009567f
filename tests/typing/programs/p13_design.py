"""A data engineer goes on: columns behind rows."""
from typing import reveal_type

import pyarrow as pa
from p03_clicks import Click, Enrich, normalize

import penstock as ps
from penstock.connectors import duckdb, files


def score(b: pa.RecordBatch) -> pa.RecordBatch: return b

app = ps.Pipeline("clicks")
visits = (
    app.source(files.lines("clicks/*.jsonl.gz"), name="ingest")
    .stage("normalize", workers=2).parse_json(Click).map(normalize)
    .stage("enrich", workers=(1, 8), retries=3, timeout="2s", on_error=ps.dead_letter()).map(Enrich)
    .stage("score", workers=2).map_batches(score)
)
visits.sink(duckdb.table("clicks.duckdb", "visits", key="event_id"))
reveal_type(visits)  # Stream[dict[str, Any]]

if __name__ == "__main__":
    app.run()
