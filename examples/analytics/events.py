"""What travels through the application: raw stretches of lines, the five kinds of event, and the two side products.

Every event says where it came from (`file`, `line`) and who it is (`id`): a natural id where the feed has one (then
equal ids are duplicates), else `file:line`. None means that the source does not say. Fields that start empty are
filled by a later stage, named beside them.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Unit(msgspec.Struct, frozen=True):
    """Files that must be read together and in order: a series, a rotated log, the connections of one exchange."""

    feed: str
    format: str
    root: str
    files: tuple[str, ...]
    """Below `root`, in reading order."""


class Part(msgspec.Struct):
    """Lines of one file that follow each other."""

    file: str
    first: int
    """Line number of `lines[0]`, from 1."""
    lines: list[str]


class Stretch(msgspec.Struct, tag=True):
    """Lines of one unit in order: what `ingest` hands to `normalize`, and the unit of work of all later state.

    State that a parser or a score needs (the log's year, a sensor's level, a visitor's session) lives inside one
    call over one stretch, so a killed worker loses none: its successor works the same stretch again.
    """

    format: str
    parts: list[Part]
    context: int = 0
    """So many lines at the start are there for their state only; an earlier stretch accounts for them."""
    known: list[str] = []
    """Ids of events in here that came before in the same file, in earlier stretches: these are their duplicates."""


class Event(msgspec.Struct, tag=True, kw_only=True):
    """What all events have."""

    id: str
    file: str
    line: int
    ts: float
    """Seconds since 1970, UTC."""
    key: str
    """Visitor, sensor, symbol or host: what an analyst groups by."""
    kind: str


class Click(Event, kw_only=True):
    """A web request or a tracker event."""

    method: str = ""
    site: str = ""
    path: str = ""
    status: int = 0
    size: int = 0
    referrer: str = ""
    agent: str = ""
    is_page: bool = True
    """False: an image, a style sheet, a script: fetched by a page, not asked for by a person."""
    page_view: str = ""
    left_out: str = ""
    """Why a tracker event takes no part in its session; empty: it does."""
    section: str = ""  # enrich
    crawler: str = ""  # enrich: its name, when the user agent gives it away
    session: str = ""  # the tracker's own, else score
    page_in_session: int = 0  # score
    since_last_s: float | None = None  # score
    crawler_score: float = 0.0  # score: 0 a person, 1 a machine


class Reading(Event, kw_only=True):
    """A value of a sensor."""

    value: float
    stamp: str
    """The time as the sensor wrote it."""
    clock: str = "ok"
    """`ok`, `repeat` (same stamp as before), `back` (earlier than before), `gap` (a step over 1.5 times the usual)."""
    unit: str = ""  # enrich
    place: str = ""  # enrich
    anomaly: float = 0.0  # score: 0 usual, 1 never seen


class Tick(Event, kw_only=True):
    """A trade, a quote (best bid and ask), a change of the book, or a candle."""

    venue: str
    received: float | None = None
    price: float | None = None
    size: float | None = None
    side: str = ""
    """Of the taker: `buy` or `sell`."""
    bid: float | None = None
    bid_size: float | None = None
    ask: float | None = None
    ask_size: float | None = None
    levels: int = 0
    """Price levels that the book message sets."""
    first_id: int = 0
    """Of a book message, the ids of its first and last update; of a trade, both its own number."""
    last_id: int = 0
    base: str = ""  # enrich
    quote: str = ""  # enrich
    notional: float | None = None  # enrich: in `quote`; None for a symbol that `tables/symbols.csv` does not tell
    spread_bps: float | None = None  # score
    imbalance: float | None = None  # score: of a quote, (bid size - ask size) / both
    flow: float | None = None  # score: signed notional of the last trades over all of it, -1 sold to 1 bought
    jump: float | None = None  # score: the trade's log return in standard deviations


class LogRecord(Event, kw_only=True):
    """A log record with the lines that belong to it; `kind` is the system."""

    level: str = ""
    component: str = ""
    pid: int = 0
    message: str
    """The first line's text; `detail` has the lines that follow (a stack trace)."""
    detail: str = ""
    label: str = ""
    """The class of alert that the system itself gave; empty: none."""
    template: str = ""
    """The message with its variable parts as `<*>`."""
    severity: int = 0  # enrich: 0 trace to 5 fatal
    service: str = ""  # enrich
    owner: str = ""  # enrich
    rarity: float = 0.0  # score: bits
    burst: float = 0.0  # score: share of the template's last hour that came in the last minute
    alarm: float = 0.0  # score: 0 to 1


class Rate(Event, kw_only=True):
    """A cumulative counter as a rate; `key` is the server zone, peer or process, `kind` the counter."""

    total: int
    per_s: float | None = None
    """Since the last snapshot of the same key; missing in the first one and after a reset."""
    service: str = ""  # enrich
    change: float = 0.0  # score: the rate against its slow average, in standard deviations


class Malformed(msgspec.Struct, tag=True):
    """A line that no rule understands: on its way to the dead letters."""

    file: str
    line: int
    lines: int
    text: str
    reason: str


class Account(msgspec.Struct, tag=True):
    """What became of the lines of one stretch of one file: the five fates add up to `read`."""

    file: str
    first: int
    read: int
    stored: int = 0
    """Lines that gave at least one event."""
    malformed: int = 0
    duplicate: int = 0
    """Lines of which every event was there already (which feeds repeat themselves, and why, say the parsers)."""
    continuation: int = 0
    """Further lines of a record of several lines, kept in that record."""
    control: int = 0
    """Lines without an event by rule: headers, empty lines, subscriptions, heartbeats."""
    events: int = 0
    repeated: int = 0
    """Events that were there already, in lines that also had new ones or had none."""


AnyEvent: TypeAlias = Click | Reading | Tick | LogRecord | Rate


class Normal(msgspec.Struct, tag=True):
    """The events of one stretch, in order: what `normalize` hands to `enrich` and that to `score`."""

    events: list[AnyEvent]
    context: int = 0
    """So many events at the start are there for their state only, and end in `score`."""
