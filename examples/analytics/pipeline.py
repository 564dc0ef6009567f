"""The pipeline: four feeds are ingested separately and share normalize, enrich, score and store.

`penstock plan examples/analytics/pipeline.py` draws it for the sample; `demo.py` runs it and checks the books.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

if __package__ in (None, ""):  # run or planned as a file: its package is found beside it
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import penstock as ps
from analytics.enrich import Enrich
from analytics.events import Account, AnyEvent, Click, LogRecord, Malformed, Normal, Rate, Reading, Stretch, Tick, Unit
from analytics.feeds import FEEDS, units_of
from analytics.ingest import LIVE_LINES, Replay, read
from analytics.names import NAME
from analytics.normalize import normalize, refuse
from analytics.score import score
from analytics.usage import NoFeeds
from penstock.connectors import duckdb, load

SAMPLE = Path(__file__).resolve().parent / "sample"
_LIVE_WITHOUT = frozenset({"snowplow"})
"""Formats whose lines mean nothing without the file's header: not replayed."""


def build(data: Path, database: Path, *, rate: str | None = None, burst: str | None = None) -> ps.Pipeline:
    """All feeds found in `data` into the tables of `database`.

    Without `rate`, every file is read once. With it (lines per second and feed, as "2000/s") the feeds run live until
    drained, with bursts of `burst` lines per second for 5 s in every 20 s.
    """
    app = ps.Pipeline(NAME)
    feeds = {feed: units for feed in FEEDS if (units := units_of(data, feed))}
    if not feeds:
        raise NoFeeds(f"{data} holds none of the feeds; it needs folders such as ticks/binance, sensors/nab")
    stretches = _ingested(app, feeds) if rate is None else _live(app, feeds, _profile(rate, burst))
    normalized = _merged(stretches).stage("normalize", workers=2).flat_map(normalize)
    normalized.filter(is_malformed).sink(refuse, name="reject", on_error=ps.dead_letter(give_up_after=None))
    normalized.filter(is_account).sink(duckdb.table(database, "accounts"), name="store-accounts")

    scored = normalized.filter(is_normal).stage("enrich").map(Enrich).stage("score", workers=2).flat_map(score)
    scored.filter(is_click).sink(duckdb.table(database, "clicks"), name="store-clicks")
    scored.filter(is_reading).sink(duckdb.table(database, "readings"), name="store-readings")
    scored.filter(is_tick).sink(duckdb.table(database, "ticks"), name="store-ticks")
    scored.filter(is_log).sink(duckdb.table(database, "logs"), name="store-logs")
    scored.filter(is_rate).sink(duckdb.table(database, "rates"), name="store-rates")
    return app


def _ingested(app: ps.Pipeline, feeds: Mapping[str, Sequence[Unit]]) -> list[ps.Stream[Stretch]]:
    return [app.source(units, name=f"ingest-{feed}").flat_map(read) for feed, units in feeds.items()]


def _live(app: ps.Pipeline, feeds: Mapping[str, Sequence[Unit]], profile: load.Profile) -> list[ps.Stream[Stretch]]:
    replayed = {feed: [unit for unit in units if unit.format not in _LIVE_WITHOUT] for feed, units in feeds.items()}
    if not any(replayed.values()):
        raise NoFeeds(f"of {', '.join(feeds)} nothing can be replayed line by line; leave `--rate` out to read it once")
    return [
        app.source(load.generate(Replay(units), profile), name=f"ingest-{feed}")
        for feed, units in replayed.items() if units
    ]


def _profile(rate: str, burst: str | None) -> load.Profile:
    """The schedule of stretches that carries so many lines."""
    if burst is None:
        return load.steady(_stretches(rate))
    return load.bursts(_stretches(rate), burst=_stretches(burst), every="20s", lasting="5s")


def _stretches(lines: str) -> str:
    """`"40/s"` stretches of `"2000/s"` lines."""
    many, slash, per = lines.partition("/")
    return f"{float(many) / LIVE_LINES:g}{slash}{per}"


def _merged(streams: Sequence[ps.Stream[Stretch]]) -> ps.Stream[Stretch]:
    first, *others = streams
    return first.merge(*others) if others else first


def is_malformed(row: Normal | Malformed | Account) -> TypeGuard[Malformed]:
    """True of lines on their way to the dead letters."""
    return isinstance(row, Malformed)


def is_account(row: Normal | Malformed | Account) -> TypeGuard[Account]:
    """True of accounts."""
    return isinstance(row, Account)


def is_normal(row: Normal | Malformed | Account) -> TypeGuard[Normal]:
    """True of events."""
    return isinstance(row, Normal)


def is_click(event: AnyEvent) -> TypeGuard[Click]:
    """True of rows for `clicks`."""
    return isinstance(event, Click)


def is_reading(event: AnyEvent) -> TypeGuard[Reading]:
    """True of rows for `readings`."""
    return isinstance(event, Reading)


def is_tick(event: AnyEvent) -> TypeGuard[Tick]:
    """True of rows for `ticks`."""
    return isinstance(event, Tick)


def is_log(event: AnyEvent) -> TypeGuard[LogRecord]:
    """True of rows for `logs`."""
    return isinstance(event, LogRecord)


def is_rate(event: AnyEvent) -> TypeGuard[Rate]:
    """True of rows for `rates`."""
    return isinstance(event, Rate)


def sample() -> ps.Pipeline:
    """The shipped sample into `analytics.duckdb`, for `penstock plan` and `penstock run`."""
    return build(SAMPLE, Path("analytics.duckdb"))
