"""The tables of `windows`, computed by plain Python in one process: what the pipeline's are compared with.

All events of a feed are in memory, sorted by their time: no watermark, nothing that ends early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from analytics.arrivals import arrivals
from analytics.enrich import Enrich
from analytics.events import Click, LogRecord, Reading, Tick
from analytics.feeds import units_of
from analytics.windows import Trade, is_error, trade_of

Row: TypeAlias = tuple[str | float, ...]
Tables: TypeAlias = Mapping[str, list[Row]]
_HOUR_S = 3600.0
_PAUSE_S = 1800.0


class _Timed(Protocol):
    id: str
    ts: float


T = TypeVar("T", bound=_Timed)


@dataclass(frozen=True)
class Feeds:
    """All events that have their place in a window, in the order in which they come."""

    clicks: list[Click]
    readings: list[Reading]
    trades: list[Trade]
    records: list[LogRecord]

    def ids(self) -> Mapping[str, set[str]]:
        """By the table in which they count."""
        return {
            "sessions": {click.id for click in self.clicks},
            "sensor_hours": {reading.id for reading in self.readings},
            "bars": {trade.id for trade in self.trades},
            "error_rates": {record.id for record in self.records},
        }


def feeds_of(data: Path) -> Feeds:
    """Reads all files."""
    enrich = Enrich()
    enrich.read_tables()
    records = list(arrivals(units_of(data, "logs"), LogRecord))
    for record in records:
        enrich.enrich(record)
    return Feeds(
        list(arrivals(units_of(data, "clicks"), Click)),
        list(arrivals(units_of(data, "sensors"), Reading)),
        [trade for tick in arrivals(units_of(data, "ticks"), Tick) for trade in trade_of(tick)],
        records,
    )


def plain(feeds: Feeds, late: Collection[str] = ()) -> Tables:
    """All tables but `late`. `late`: ids of events that no window counts."""
    return {
        "sessions": list(_sessions(_counted(feeds.clicks, late))),
        "sensor_hours": list(_sensor_hours(_counted(feeds.readings, late))),
        "bars": list(_bars(_counted(feeds.trades, late))),
        "error_rates": list(_error_rates(_counted(feeds.records, late))),
    }


def _counted(events: Iterable[T], late: Collection[str]) -> list[T]:
    return sorted((event for event in events if event.id not in late), key=lambda event: event.ts)


def _sessions(clicks: list[Click]) -> Iterator[Row]:
    for visitor, own in _grouped(clicks, lambda click: click.key).items():
        visit = own[:1]
        for click in own[1:]:
            if click.ts - visit[-1].ts >= _PAUSE_S:
                yield _session(visitor, visit)
                visit = []
            visit.append(click)
        yield _session(visitor, visit)


def _session(visitor: str, visit: list[Click]) -> Row:
    pages, size = sum(click.is_page for click in visit), sum(click.size for click in visit)
    return visitor, visit[0].ts, visit[-1].ts + _PAUSE_S, len(visit), pages, size


def _sensor_hours(readings: list[Reading]) -> Iterator[Row]:
    for (sensor, hour), own in _grouped(readings, lambda reading: (reading.key, reading.ts // _HOUR_S)).items():
        values = [reading.value for reading in own]
        start = hour * _HOUR_S
        yield sensor, start, start + _HOUR_S, len(values), min(values), sum(values) / len(values), max(values)


def _bars(trades: list[Trade]) -> Iterator[Row]:
    for (market, start), own in _grouped(trades, lambda trade: (trade.market, trade.ts // 1)).items():
        prices, volume = [trade.price for trade in own], sum(trade.size for trade in own)
        high, low = max(prices), min(prices)
        yield market, start, start + 1, prices[0], high, low, prices[-1], volume, len(own)


def _error_rates(records: list[LogRecord]) -> Iterator[Row]:
    for (service, hour), own in _grouped(records, lambda record: (record.service, record.ts // _HOUR_S)).items():
        errors, start = sum(is_error(record) for record in own), hour * _HOUR_S
        yield service, start, start + _HOUR_S, len(own), errors, errors / len(own)


K = TypeVar("K")


def _grouped(events: Iterable[T], key: Callable[[T], K]) -> Mapping[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups
