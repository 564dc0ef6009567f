"""A data engineer: click ETL from gzipped JSON lines into DuckDB."""
from typing import reveal_type
from urllib.parse import urlsplit

import msgspec

import penstock as ps
from penstock.connectors import duckdb, files


class Click(msgspec.Struct):
    event_id: str
    ts: int
    user: str
    url: str
    ms: float

class Visit(msgspec.Struct):
    event_id: str
    ts: int
    user: str
    page: str
    country: str
    ms: float

def normalize(c: Click) -> Click:
    return msgspec.structs.replace(c, url=c.url.lower())

class Enrich:
    """Made once per worker."""
    def open(self, context: ps.Context) -> None:
        self.countries = {"ann": "NL"}
        context.log.info("worker %d/%d ready", context.slot, context.workers)

    def __call__(self, c: Click) -> Visit:
        return Visit(c.event_id, c.ts, c.user, urlsplit(c.url).path, self.countries.get(c.user, "??"), c.ms)

app = ps.Pipeline("clicks")
visits = (
    app.source(files.lines("clicks/*.jsonl.gz"), name="ingest")
    .stage("normalize", workers=2).parse_json(Click).map(normalize)
    .stage("enrich", workers=(1, 8), retries=3, timeout="2s", on_error=ps.dead_letter()).map(Enrich)
)
visits.sink(duckdb.table("clicks.duckdb", "visits", key="event_id"))
reveal_type(visits)  # Stream[Visit]

if __name__ == "__main__":
    app.run()
