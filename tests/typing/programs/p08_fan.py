"""A platform engineer: two sources merged, one stream to two sinks, the slow one decoupled."""
from typing import reveal_type

import msgspec

import penstock as ps
from penstock.connectors import duckdb, files, stdio


class Event(msgspec.Struct):
    source: str
    ts: float
    body: str

def from_web(line: str) -> Event:
    ts, body = line.split(" ", 1)
    return Event("web", float(ts), body)

def from_app(d: dict[str, str]) -> Event:
    return Event("app", float(d["time"]), d["message"])

app = ps.Pipeline("events")
web = app.source(files.lines("web/*.log"), name="web").stage("parse_web", workers=2).map(from_web)
own = app.source(stdio.stdin(), name="app").parse_json(dict[str, str]).map(from_app)     # fused into the source's stage
events = web.merge(own)
reveal_type(events)  # Stream[Event]

checked = events.stage("check", workers=2).filter(lambda e: e.ts > 0)
checked.sink(duckdb.table("events.duckdb", "events", if_exists="append"))
checked.map(lambda e: {"t": e.ts, "text": e.body}).sink(files.json_lines("archive/", roll="1 GiB"), name="archive")

if __name__ == "__main__":
    app.run()
