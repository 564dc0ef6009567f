"""Four questions about time, asked of the same four feeds: sessions, hours of sensors, bars of trades, error rates.

`penstock plan examples/analytics/windows.py:sample` draws it. `plain` computes the same without penstock, and
`agreement` compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

if __package__ in (None, ""):  # run or planned as a file: its package is found beside it
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec

import penstock as ps
from analytics.arrivals import Arrivals
from analytics.enrich import EnrichEvent
from analytics.events import Click, LogRecord, Reading, Tick
from analytics.feeds import units_of
from penstock.connectors import duckdb, postgres

NAME = "analytics-windows"
SOURCES = ("clicks", "readings", "ticks", "records")
SAMPLE = Path(__file__).resolve().parent / "sample"
SCHEMA = "penstock_demo"
"""Where the tables are in PostgreSQL."""


class Session(msgspec.Struct):
    """What a visitor did without a pause of half an hour."""

    key: str
    start: datetime
    end: datetime
    requests: int
    pages: int
    bytes: int


class SensorHour(msgspec.Struct):
    """What a sensor measured in an hour."""

    key: str
    start: datetime
    end: datetime
    readings: int
    low: float
    mean: float
    high: float


class Trade(msgspec.Struct):
    """A trade of a tick feed."""

    id: str
    market: str
    ts: float
    price: float
    size: float


class Bar(msgspec.Struct):
    """The trades of a market in a second."""

    market: str
    start: datetime
    end: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int


class ErrorRate(msgspec.Struct):
    """What a service logged in an hour, and how much of it were warnings and errors."""

    service: str
    start: datetime
    end: datetime
    records: int
    errors: int
    rate: float


class Late(msgspec.Struct):
    """An event that came when its window was complete; it counts in none."""

    of: str
    id: str
    ts: float


@dataclass(frozen=True)
class Into:
    """Where the tables are."""

    database: Path
    dsn: str | None = None
    """Of PostgreSQL, which has the same tables then."""
    visible: Literal["at once", "at checkpoint"] = "at once"
    """When their rows can be seen. "At checkpoint" needs a store, and holds when the machine is lost, too."""

    def store(self, rows: ps.Stream[Any], table: str, type: type, *key: str) -> None:
        """Ends a stream in the tables of that name. A row replaces the one with its key."""
        sink = duckdb.table(self.database, table, key=key)
        rows.sink(sink, name=f"duckdb-{_dashed(table)}", visible=self.visible)
        if self.dsn is not None:
            sink = postgres.table(self.dsn, f"{SCHEMA}.{table}", type, key=key, if_exists="overwrite")
            rows.sink(sink, name=f"postgres-{_dashed(table)}", visible=self.visible)


def _dashed(table: str) -> str:
    return table.replace("_", "-")


def build(data: Path, into: Into, pace: float | None = None) -> ps.Pipeline:
    """Those for which `data` has a feed. `pace`: read so many events per second and feed, to have something to see."""
    app = ps.Pipeline(NAME)
    first, *others = [
        add(app, Arrivals(units, kind, pace), into)
        for feed, kind, add in _WINDOWS if (units := units_of(data, feed))
    ]
    into.store(first.merge(*others) if others else first, "late", Late, "id")
    return app


def _sessions(app: ps.Pipeline, clicks: Arrivals[Click], into: Into) -> ps.Stream[Late]:
    """Of each visitor. The tracker's events come visitor by visitor, days apart: hence the disorder."""
    timed = app.source(clicks, name="clicks").event_time("ts", disorder="7d")
    visits = timed.stage("sessions", workers=2).key_by("key").window(ps.session("30m"))
    rows = visits.aggregate(Session, requests=ps.count(), pages=ps.sum("is_page"), bytes=ps.sum("size"))
    into.store(rows, "sessions", Session, "key", "start")
    return visits.late.map(late_click)


def _sensor_hours(app: ps.Pipeline, readings: Arrivals[Reading], into: Into) -> ps.Stream[Late]:
    """Of each sensor. Where a clock was set back for the winter, an hour comes twice."""
    timed = app.source(readings, name="readings").event_time("ts", disorder="1h")
    hours = timed.stage("sensor-hours", workers=2).key_by("key").window(ps.tumbling("1h"))
    rows = hours.aggregate(
        SensorHour, readings=ps.count(), low=ps.min("value"), mean=ps.mean("value"), high=ps.max("value")
    )
    into.store(rows, "sensor_hours", SensorHour, "key", "start")
    return hours.late.map(late_reading)


def _bars(app: ps.Pipeline, ticks: Arrivals[Tick], into: Into) -> ps.Stream[Late]:
    """Of each market, each second. A bar is there as soon as its second is over; trades that are up to an hour late
    still count, and replace it. What is later (a connection begins with trades that may be weeks old) is in `late`.
    """
    trades = app.source(ticks, name="ticks").flat_map(trade_of).event_time("ts", disorder="1s")
    seconds = trades.stage("bars", workers=2).key_by("market").window(ps.tumbling("1s"), lateness="1h", early="1s")
    rows = seconds.aggregate(
        Bar, open=ps.first("price"), high=ps.max("price"), low=ps.min("price"), close=ps.last("price"),
        volume=ps.sum("size"), trades=ps.count(),
    )
    into.store(rows, "bars", Bar, "market", "start")
    return seconds.late.map(late_trade)


def _error_rates(app: ps.Pipeline, records: Arrivals[LogRecord], into: Into) -> ps.Stream[Late]:
    """Of each service, each hour."""
    timed = app.source(records, name="records").map(EnrichEvent).event_time("ts", disorder="1m")
    hours = timed.stage("error-rates", workers=2).key_by("service").window(ps.tumbling("1h"), lateness="1h")
    rows = hours.aggregate(ErrorRate, records=ps.count(), errors=ps.sum(is_error), rate=ps.mean(is_error))
    into.store(rows, "error_rates", ErrorRate, "service", "start")
    return hours.late.map(late_record)


_WINDOWS: Sequence[tuple[str, type[Any], Callable[[ps.Pipeline, Arrivals[Any], Into], ps.Stream[Late]]]] = (
    ("clicks", Click, _sessions), ("sensors", Reading, _sensor_hours), ("ticks", Tick, _bars),
    ("logs", LogRecord, _error_rates),
)  # fmt: skip


def trade_of(tick: Tick) -> Iterator[Trade]:
    """The trade that a tick is, if it is one."""
    if tick.kind == "trade" and tick.price is not None and tick.size is not None:
        yield Trade(tick.id, f"{tick.venue} {tick.key}", tick.ts, tick.price, tick.size)


def is_error(record: LogRecord) -> int:
    """1 of a warning or worse, 0 of other records."""
    return int(record.severity >= 3)


def late_click(click: Click) -> Late:
    return Late("sessions", click.id, click.ts)


def late_reading(reading: Reading) -> Late:
    return Late("sensor_hours", reading.id, reading.ts)


def late_trade(trade: Trade) -> Late:
    return Late("bars", trade.id, trade.ts)


def late_record(record: LogRecord) -> Late:
    return Late("error_rates", record.id, record.ts)


def sample() -> ps.Pipeline:
    """The shipped sample into `windows.duckdb`, for `penstock plan` and `penstock run`."""
    return build(SAMPLE, Into(Path("windows.duckdb")))
