"""An analyst: per-user sessions in event time, with late rows, early results, and what belongs to them."""
from typing import reveal_type

import msgspec

import penstock as ps
from penstock.connectors import duckdb, files


class Click(msgspec.Struct):
    user: str
    ts: float
    ms: float


class Order(msgspec.Struct):
    buyer: str
    at: float


class Session(msgspec.Struct):
    user: str
    start: float
    end: float
    clicks: int
    slow: float


class Slowest(msgspec.Struct):
    ms: float = 0.0

    def add(self, row: Click) -> None:
        self.ms = max(self.ms, row.ms)

    def merge(self, other: "Slowest") -> None:
        self.ms = max(self.ms, other.ms)

    def result(self) -> float:
        return self.ms


app = ps.Pipeline("sessions")
clicks = app.source(files.lines("clicks/*.jsonl")).stage("parse", workers=2).parse_json(Click)
keyed = clicks.stage("sessions", workers=4).key_by("user")
windows = keyed.window(ps.session(gap="30m"), time="ts", disorder="5s", lateness="1m", idle_after="30s")
sessions = windows.aggregate(Session, clicks=ps.count(), slow=ps.quantile("ms", 0.99))
sessions.sink(duckdb.table("sessions.duckdb", "sessions", key=["user", "start"]))
windows.late.sink(files.json_lines("late.jsonl"))

by_name = clicks.event_time("ts").stage("windows").key_by(lambda click: click.user)
slowest = by_name.window(ps.sliding("1m", every="10s")).aggregate(slow=Slowest)
changes = by_name.window(ps.tumbling("1h"), early="1m", retractions=True).aggregate(Session, clicks=ps.count())
lists = by_name.window(ps.tumbling("1m")).collect()
best = by_name.window(ps.tumbling("1m")).top(3, by="ms")
totals = by_name.window(ps.tumbling("1m")).fold(0, lambda n, click: n + 1)
orders = app.source(files.json_lines("orders.jsonl", Order)).event_time("at")
bought = clicks.event_time("ts").stage("bought").key_by("user").join(orders, on="buyer", within="10m", how="left")

reveal_type(keyed)  # KeyedStream[Any, Click]
reveal_type(sessions)  # Stream[Session]
reveal_type(windows.late)  # Stream[Click]
reveal_type(slowest)  # Stream[dict[str, Any]]
reveal_type(changes)  # Stream[penstock.operators.windowed.changes.Change[Session]]
reveal_type(lists)  # Stream[penstock.operators.windowed.window_rows.WindowResult[str, list[Click]]]
reveal_type(best)  # Stream[penstock.operators.windowed.window_rows.Ranked[str, Click]]
reveal_type(totals)  # Stream[penstock.operators.windowed.window_rows.WindowResult[str, int]]
reveal_type(bought)  # Stream[tuple[Click, Order | None]]

for number, stream in enumerate((slowest, changes, lists, best, totals, bought)):
    stream.sink(ps.discard(), name=f"out{number}")

if __name__ == "__main__":
    app.run()
