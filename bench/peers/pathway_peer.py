"""Pathway: one engine process with `PATHWAY_THREADS` threads; Python functions share one GIL. No process per stage.

    python bench/peers/pathway_peer.py w1|w2|w4 [--variant VARIANT]

`udf`: Python functions per record, as in the other peers. `native`: Pathway's own expressions, and its join with the
user table. w1 and w4 come from a Python connector, w2 from the engine's own reader. `PENSTOCK_BENCH_COMMIT_MS`: how
often the connector of w4 commits.
"""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import pathway as pw
from arguments import StopWatch, check_sums, parsed, tell_latency
from workloads import events, functions
from workloads.pacing import paced

arguments = parsed("udf", "native")
native = arguments.variant == "native"
watch = StopWatch()
logging.disable(logging.WARNING)


def run() -> None:
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, default_logging=False)


class Number(pw.Schema):
    number: int


class Numbers(pw.io.python.ConnectorSubject):
    deletions_enabled = False

    def run(self) -> None:
        for number in range(arguments.rows):
            self.next(number=number)


def w1() -> None:
    table = pw.io.python.read(Numbers(), schema=Number)
    if native:
        table = table.select(doubled=table.number * 2)
    else:
        table = table.select(doubled=pw.apply_with_type(functions.double, int, table.number))
    sums = [0, 0]

    def add(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        sums[0] += 1
        sums[1] += row["doubled"]

    pw.io.subscribe(table, on_change=add)
    watch.start()
    run()
    watch.done(arguments.rows)
    check_sums(arguments.rows, *sums)


class Event(pw.Schema):
    eid: int
    sid: str
    ts: str
    user_id: str
    url: str
    country: str
    ms: int
    ua: str


def w2() -> None:
    output = events.output(f"pathway-{arguments.variant}")
    source = events.first_lines(arguments.rows)
    table = pw.io.fs.read(source, format="json", schema=Event, mode="static", json_field_paths={"eid": "/id"})
    table = by_expressions(table) if native else by_functions(table)
    pw.io.jsonlines.write(table, str(output))
    watch.start()
    run()
    watch.done(arguments.rows, output=Path(output))


def by_functions(table: Any) -> Any:
    apply = pw.apply_with_type
    table = table.select(
        eid=table.eid,
        session=table.sid,
        ts=apply(functions.epoch_ms, int, table.ts),
        user=table.user_id,
        path=apply(lambda url: url.partition("?ref=")[0].lower(), str, table.url),
        ref=apply(lambda url: url.partition("?ref=")[2].lower(), str, table.url),
        country=apply(str.lower, str, table.country),
        dur_ms=table.ms,
        agent=apply(str.lower, str, table.ua),
    )

    def known(name: str, kind: type) -> Any:
        return apply(lambda user: functions.USER.get(user, functions.UNKNOWN)[name], kind, table.user)

    table = table.select(
        *pw.this, segment=known("segment", str), home=known("home", str), weight=known("weight", float)
    )

    def score(dur_ms: int, weight: float, path: str, country: str, home: str) -> float:
        value = math.log1p(dur_ms) * weight + 0.1 * len(path)
        return round(value + 0.5 if country == home else value, 6)

    columns = (table.dur_ms, table.weight, table.path, table.country, table.home)
    return table.select(*pw.this, score=apply(score, float, *columns))


def by_expressions(table: Any) -> Any:
    users = pw.debug.table_from_rows(
        pw.schema_from_types(user=str, segment=str, home=str, weight=float),
        [(name, user["segment"], user["home"], user["weight"]) for name, user in functions.USER.items()],
    )
    cut = table.url.str.find("?ref=")
    seconds = table.ts.dt.strptime("%Y-%m-%dT%H:%M:%S.%3fZ", contains_timezone=False).dt.timestamp(unit="ms")
    table = table.select(
        eid=table.eid,
        session=table.sid,
        ts=pw.cast(int, seconds + 0.5),
        user=table.user_id,
        path=table.url.str.slice(0, cut).str.lower(),
        ref=table.url.str.slice(cut + 5, table.url.str.len()).str.lower(),
        country=table.country.str.lower(),
        dur_ms=table.ms,
        agent=table.ua.str.lower(),
    )
    table = table.join_left(users, pw.left.user == pw.right.user).select(
        *pw.left,
        segment=pw.coalesce(pw.right.segment, "unknown"),
        home=pw.coalesce(pw.right.home, ""),
        weight=pw.coalesce(pw.right.weight, 1.0),
    )
    logarithm = pw.apply_with_type(math.log1p, float, table.dur_ms)  # its expressions have none
    at_home = pw.if_else(table.country == table.home, 0.5, 0.0)
    value = logarithm * table.weight + 0.1 * pw.cast(float, table.path.str.len()) + at_home
    return table.select(*pw.this, score=value.num.round(6))


class Due(pw.Schema):
    number: int
    due: int


class PacedNumbers(pw.io.python.ConnectorSubject):
    deletions_enabled = False

    def run(self) -> None:
        for number, due in paced(arguments.rate, arguments.seconds):
            self.next(number=number, due=due)


def w4() -> None:
    every_ms = int(os.environ.get("PENSTOCK_BENCH_COMMIT_MS", "10"))
    table = pw.io.python.read(PacedNumbers(), schema=Due, autocommit_duration_ms=every_ms)
    table = table.select(doubled=pw.apply_with_type(functions.double, int, table.number), due=table.due)
    latencies: list[int] = []

    def look_at_the_clock(
        key: Any, row: dict[str, Any], time: int, is_addition: bool, now_ns: Any = time.monotonic_ns
    ) -> None:
        latencies.append(now_ns() - row["due"])

    pw.io.subscribe(table, on_change=look_at_the_clock)
    run()
    tell_latency(latencies, int(arguments.rate * arguments.seconds))


{"w1": w1, "w2": w2, "w4": w4}[arguments.workload]()
