"""Parses the click stream: NASA's request trace (TSV), Apache combined logs, Snowplow tracker events (CSV).

Rules
- NASA: seven columns or more; no visitor id, so the host is the visitor. Lines have no natural id.
- Apache: the combined format; `-` as size is 0. A line that comes twice, to the letter, is one request logged twice:
  the second is a stated duplicate. Backslash escapes stay as they are: they are not UTF-8 and nobody can say what.
  Lines are shuffled within the hour; the scores put them in order of time first.
- Snowplow: of equal `event_id`s the first one stays, the others are stated duplicates. `left_out` tells why an event
  takes no part in its session; such events are stored all the same. Time is `derived_tstamp`, which corrects the
  visitor's clock; where it is empty, the collector's. An event is late only where both of its device's stamps tell so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import urlsplit

import msgspec

from analytics.events import AnyEvent, Click
from analytics.stamps import instant

_ASSETS = (".gif", ".jpg", ".jpeg", ".png", ".ico", ".css", ".js", ".xbm", ".svg", ".woff", ".ttf", ".map")
_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_COMBINED = re.compile(
    r"(\S+) \S+ \S+ \[(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\] "
    + _QUOTED + r" (\d{3}) (\d+|-) " + _QUOTED + " " + _QUOTED
)
_THREE_DAYS_S = 3 * 86400.0


def nasa(file: str, line: int, text: str) -> list[AnyEvent]:
    """host, logname, time, method, url, response, bytes, referer, useragent; tab separated."""
    columns = text.split("\t")
    if len(columns) < 7:
        raise ValueError(f"{len(columns)} columns, not 9")
    host, _, time, method, url, status, size = columns[:7]
    return [Click(
        id=f"{file}:{line}", file=file, line=line, ts=float(time), key=host, kind="request", method=method,
        site="www.ksc.nasa.gov", path=url, status=int(status), size=int(size), is_page=is_page(url),
    )]


def combined(file: str, line: int, text: str) -> list[AnyEvent]:
    """Apache's combined log format."""
    found = _COMBINED.fullmatch(text)
    if found is None:
        raise ValueError("not in the combined log format")
    host, day, month, year, hour, minute, second, sign, east_h, east_m, request, status, size, referrer, agent = (
        found.groups()
    )
    east_s = (int(east_h) * 3600 + int(east_m) * 60) * (1 if sign == "+" else -1)
    ts = _midnight(day, month, year) + int(hour) * 3600 + int(minute) * 60 + int(second) - east_s
    method, _, rest = request.partition(" ")
    path = rest.rpartition(" ")[0] or rest
    return [Click(
        id="apache:" + blake2b(text.encode(), digest_size=9).hexdigest(), file=file, line=line,
        ts=ts, key=host, kind="request", method=method, path=path, status=int(status),
        size=0 if size == "-" else int(size), referrer="" if referrer == "-" else referrer,
        agent="" if agent == "-" else agent, is_page=is_page(path),
    )]


@lru_cache(maxsize=64)
def _midnight(day: str, month: str, year: str) -> float:
    if month not in _MONTHS:
        raise ValueError(f"no month is called {month}")
    return datetime(int(year), _MONTHS[month], int(day), tzinfo=UTC).timestamp()


def is_page(path: str) -> bool:
    """True: a person asked for this, as opposed to what a page fetches by itself."""
    return not path.partition("?")[0].lower().endswith(_ASSETS)


class _PageView(msgspec.Struct):
    id: str | None = None


_contexts = msgspec.json.Decoder(list[_PageView | list[_PageView] | None] | None)


def _page_view(text: str) -> str:
    """The page view's id; empty where the context tells none.

    A context that is wrapped in one list more counts as none, as with the tracker's models.
    """
    contexts = (_contexts.decode(text) if text else None) or [None]
    first = contexts[0]
    return (first.id or "") if isinstance(first, _PageView) else ""


class Snowplow:
    """Tracker events; learns the columns from the header."""

    def __init__(self) -> None:
        self.columns: list[str] = []

    def __call__(self, file: str, line: int, text: str) -> list[AnyEvent]:
        try:
            values = next(csv.reader([text]))
        except csv.Error as error:
            raise ValueError(f"no line of a CSV file: {error}") from error
        if line == 1:
            self.columns = values
            return []
        if len(values) != len(self.columns):
            raise ValueError(f"{len(values)} columns, the header names {len(self.columns)}")
        try:
            return [self._click(file, line, dict(zip(self.columns, values, strict=True)))]
        except KeyError as error:
            raise ValueError(f"the header names no column {error}") from error

    @staticmethod
    def _click(file: str, line: int, row: Mapping[str, str]) -> Click:
        parts = urlsplit(row["page_url"])
        click = Click(
            id=row["event_id"], file=file, line=line, key=row["domain_userid"],
            ts=instant(row["derived_tstamp"] or row["collector_tstamp"]), kind=row["event_name"],
            site=parts.netloc, path=parts.path, referrer=row["page_referrer"], agent=row["useragent"],
            page_view=_page_view(row["contexts_com_snowplowanalytics_snowplow_web_page_1_0_0"]),
            session=row["domain_sessionid"],
        )
        sent, created = row["dvce_sent_tstamp"], row["dvce_created_tstamp"]
        if sent and created and instant(sent) - instant(created) > _THREE_DAYS_S:
            click.left_out = "sent more than 3 days late"
        elif not click.session:
            click.left_out = "no session id"
        elif not click.page_view:
            click.left_out = "no page view id"
        return click


class Session(msgspec.Struct):
    """What the tracker's own models tell about a session."""

    id: str
    start: float
    end: float
    events: int
    page_views: int


def tracker_sessions(clicks: list[Click]) -> Iterator[Session]:
    """Sessions of tracker events, by the rules of the tracker's own models."""
    by_session: dict[str, list[Click]] = {}
    for click in clicks:
        if click.session and not click.left_out:
            by_session.setdefault(click.session, []).append(click)
    for session, events in by_session.items():
        first = min(click.ts for click in events)
        events = [click for click in events if click.ts <= first + _THREE_DAYS_S]
        times = [click.ts for click in events]
        views = {click.page_view for click in events if click.kind in ("page_view", "page_ping")}
        seen_page = any(click.kind == "page_view" for click in events)
        yield Session(session, first - (0 if seen_page else 5), max(times), len(events), len(views))
