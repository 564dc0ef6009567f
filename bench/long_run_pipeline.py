"""The pipeline of `long_run.py`, and the program that runs it and reads its results; every row can be foretold.

    orders (bursts) -+-> price -+-------------------> JSON lines
                     |          +-> entries (merge) -> CSV, DuckDB without key, a function
    visits (2) ------|-----------'
                     +-> by_customer (hash, 3 workers) -> DuckDB with key, JSON lines
                     +-> in_order (ordered, 2 workers) -> Parquet, results()

A module of its own, for workers import it. As a program: `long_run_pipeline.py FOLDER ORDERS VISITS` runs it once, and
resumes whenever the supervisor was killed. `long_run_check.py` looks at what came out.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import measure
import msgspec

import penstock as ps
from penstock.connectors import duckdb, files, load

NAME = "bench-long-run"
CUSTOMERS = 1_009
SPAN_S, BURST_S = 20.0, 0.5
"""From burst to burst; how long one lasts, at the end of its span."""
BURSTS = load.bursts("10/s", burst="40000/s", every=timedelta(seconds=SPAN_S), lasting=timedelta(seconds=BURST_S))
VISITS = load.steady("4/s")
EDGE = ps.Edge(memory="1 MiB")
"""Small enough for bursts to fill queues."""
ROBUST: Any = {"max_restarts": "1000000/m"}
"""A killer is no crash loop."""
BAD_EVERY, BAD = 10_007, 17
HESITANT = 5_003
SLOW_EVERY, SLOW, SLOW_S = 2_003, 7, 0.2


class Order(msgspec.Struct):
    """What bursts."""

    id: int
    customer: int
    cents: int
    text: str


class Visit(msgspec.Struct):
    """What trickles."""

    id: int
    cents: int


class Entry(msgspec.Struct):
    """An order or a visit."""

    kind: str
    id: int
    cents: int
    text: str


class Seen(msgspec.Struct):
    """An order, and which worker of the hash-partitioned stage had it."""

    id: int
    customer: int
    cents: int
    slot: int


def order(number: int, rng: Random | None = None) -> Order:
    return Order(number, number * 7_919 % CUSTOMERS, number * 31 % 10_007, f"{number:x}".rjust(48, "."))


def visit(number: int, rng: Random | None = None) -> Visit:
    return Visit(number, number * 17 % 1_009)


def is_bad(number: int) -> bool:
    return number % BAD_EVERY == BAD


class Price:
    """A few orders always raise, a few once in a worker's life, a few take long: those may be in work at any kill."""

    def __init__(self) -> None:
        self.refused: set[int] = set()

    def __call__(self, row: Order) -> Order:
        if is_bad(row.id):
            raise ValueError(f"order {row.id} has no price")
        if row.id % BAD_EVERY == HESITANT and row.id not in self.refused:
            self.refused.add(row.id)
            raise ConnectionError("try again")
        if row.id % SLOW_EVERY == SLOW:
            time.sleep(SLOW_S)
        return row


def as_entry(row: Order | Visit) -> Entry:
    if isinstance(row, Order):
        return Entry("order", row.id, row.cents, row.text)
    return Entry("visit", row.id, row.cents, "")


class WithSlot:
    """Adds who did it."""

    def open(self, context: ps.Context) -> None:
        self.slot = context.slot

    def __call__(self, row: Order) -> Seen:
        return Seen(row.id, row.customer, row.cents, self.slot)


def unchanged(row: Order) -> Order:
    return row


@dataclass
class Noted:
    """A sink function: eight bytes for each row, the number times two, and one more for a visit."""

    path: Path

    def open(self, context: ps.Context) -> None:
        self.fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, row: Entry) -> None:
        os.write(self.fd, (row.id * 2 + (row.kind == "visit")).to_bytes(8, sys.byteorder))


@dataclass(frozen=True)
class LongRun:
    """Where the results go, and how many rows there are."""

    folder: Path
    orders: int
    visits: int

    @property
    def priced(self) -> Path:
        return self.folder / "priced.jsonl"

    @property
    def entries(self) -> Path:
        return self.folder / "entries"

    @property
    def seen(self) -> Path:
        return self.folder / "seen.jsonl"

    @property
    def database(self) -> Path:
        return self.folder / "long_run.duckdb"

    @property
    def noted(self) -> Path:
        return self.folder / "noted"

    @property
    def ordered(self) -> Path:
        return self.folder / "ordered"

    def stream(self) -> ps.Stream[Order]:
        """The pipeline, by the stream that the caller reads."""
        app = ps.Pipeline(NAME)
        orders = app.source(load.generate(order, BURSTS, rows=self.orders), name="orders", **ROBUST)
        visits = app.source(load.generate(visit, VISITS, rows=self.visits), name="visits", workers=2, **ROBUST)
        patient: Any = {**ROBUST, "retries": 1_000, "retry_delay": "20ms", "retry_on": ConnectionError}
        priced = orders.stage("price", workers=2, edge=EDGE, **patient).map(Price)
        priced.sink(files.json_lines(self.priced), name="priced", edge=EDGE, **ROBUST)
        entries = priced.merge(visits).stage("entries", workers=2, edge=EDGE, **ROBUST).map(as_entry)
        entries.sink(files.csv(f"{self.entries}/", Entry), name="csv", workers=2, edge=EDGE, **ROBUST)
        entries.sink(duckdb.table(self.database, "entries"), name="table", edge=EDGE, **ROBUST)
        entries.sink(Noted(self.noted), name="noted", edge=EDGE, **ROBUST)
        by_customer = orders.stage("by_customer", workers=3, edge=EDGE, **ROBUST).key_by("customer").map(WithSlot)
        by_customer.sink(duckdb.table(self.database, "latest", key="customer"), name="upsert", edge=EDGE, **ROBUST)
        by_customer.sink(files.json_lines(self.seen), name="seen", edge=EDGE, **ROBUST)
        in_order = orders.stage("in_order", workers=2, ordered=True, edge=EDGE, **ROBUST).map(unchanged)
        in_order.sink(files.parquet(f"{self.ordered}/", roll="2 MiB"), name="parquet", edge=EDGE, **ROBUST)
        return in_order


def main(folder: Path, orders: int, visits: int) -> None:
    """Read all results; tell how often each order came, and the order they came in."""
    times = bytearray(orders)
    disordered = takeovers = 0
    stream = LongRun(folder, orders, visits).stream()
    fresh = True
    while True:
        results = stream.results(fresh=fresh)
        print(f"RUNS {results.handle.run_dir}", flush=True)
        last = -1
        try:
            for row in results:
                times[row.id] = min(times[row.id] + 1, 255)
                disordered += row.id <= last or row != order(row.id)
                last = row.id
            report = results.report
            break
        except ps.PipelineFailed as failed:
            if failed.stage != "supervisor":
                raise
            fresh, takeovers = False, takeovers + 1
    measure.result(
        missing=times.count(0), repeated=sum(n - 1 for n in times if n), wrong=disordered, takeovers=takeovers,
        outcome=report.outcome, undelivered=report.undelivered_rows,
        rows_in={stage.name: stage.rows_in for stage in report.stages.values()},
        dead_letters={stage.name: stage.dead_letters for stage in report.stages.values() if stage.dead_letters},
        retries=sum(stage.retries for stage in report.stages.values()),
        restarts=sum(stage.restarts for name, stage in report.stages.items() if name != "upsert"),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
