"""Third stage: adds to each event what the reference tables know of its site, symbol, sensor or host."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import penstock as ps
from analytics import reference
from analytics.events import AnyEvent, Click, LogRecord, Normal, Rate, Reading, Tick

E = TypeVar("E", bound=AnyEvent)

_UNKNOWN = "", "", "0"
"""A symbol that the table lacks: whether its sizes are coins or contracts, and of what worth, nobody can say."""


class Enrich:
    """Made once in each worker; the tables are read when it opens."""

    def open(self, context: ps.Context) -> None:
        """Called by the worker."""
        self.read_tables()

    def read_tables(self) -> None:
        """Into dictionaries."""
        self.sections = {row["segment"]: row["section"] for row in reference.table("sections")}
        self.crawlers = [(row["marker"], row["crawler"]) for row in reference.table("crawlers")]
        self.symbols = {
            (row["venue"], row["symbol"]): (row["base"], row["quote"], row["contract"])
            for row in reference.table("symbols")
        }
        self.sensors = [(row["prefix"], row["unit"], row["place"]) for row in reference.table("sensors")]
        self.services = {row["system"]: (row["service"], row["owner"]) for row in reference.table("services")}
        self.severities = {row["level"]: int(row["severity"]) for row in reference.table("severities")}
        self.crawler_of = lru_cache(maxsize=4096)(self._crawler_of)
        self.sensor_of = lru_cache(maxsize=4096)(self._sensor_of)

    def __call__(self, normal: Normal) -> Normal:
        """Fills the fields in place: nobody else holds these events."""
        for event in normal.events:
            self.enrich(event)
        return normal

    def enrich(self, event: AnyEvent) -> None:
        """One of them."""
        match event:
            case Tick():
                self._tick(event)
            case Click():
                event.section = self._section_of(event.path)
                event.crawler = self.crawler_of(event.agent)
            case Reading():
                event.unit, event.place = self.sensor_of(event.key)
            case LogRecord():
                event.service, event.owner = self.services.get(event.kind, ("", ""))
                event.severity = self._severity_of(event)
            case Rate():
                event.service = event.key.partition(":")[2]

    def _section_of(self, path: str) -> str:
        first = path.partition("?")[0].lstrip("/").partition("/")[0]
        return self.sections.get(first, "other") if first else "home"

    def _crawler_of(self, agent: str) -> str:
        lowered = agent.lower()
        return next((crawler for marker, crawler in self.crawlers if marker in lowered), "")

    def _sensor_of(self, sensor: str) -> tuple[str, str]:
        return next(((unit, place) for prefix, unit, place in self.sensors if sensor.startswith(prefix)), ("", ""))

    def _severity_of(self, record: LogRecord) -> int:
        severity = self.severities.get(record.level.upper(), 2)
        return max(severity, 4) if record.label else severity

    def _tick(self, tick: Tick) -> None:
        tick.base, tick.quote, contract = self.symbols.get((tick.venue, tick.key), _UNKNOWN)
        if tick.kind == "trade" and tick.price is not None and tick.size is not None:
            tick.notional = notional(tick.price, tick.size, contract)


class EnrichEvent:
    """The same for events that come one by one."""

    def open(self, context: ps.Context) -> None:
        """Reads the tables."""
        self.tables = Enrich()
        self.tables.read_tables()

    def __call__(self, event: E) -> E:
        """Fills the fields in place."""
        self.tables.enrich(event)
        return event


def notional(price: float, size: float, contract: str) -> float | None:
    """Worth of a trade in the quote currency. `contract`: worth of one contract; empty: sizes are coins; 0: unknown."""
    if not contract:
        return price * size
    return size * float(contract) if float(contract) else None
