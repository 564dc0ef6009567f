"""What w2 does with each event, on typed rows: the same as `functions.py`, with Structs in place of dicts."""

from __future__ import annotations

import math
from datetime import datetime

import msgspec
from workloads import functions


class Event(msgspec.Struct, gc=False):
    """A line of the input."""

    id: int
    sid: str
    ts: datetime
    user_id: str
    url: str
    country: str
    ms: int
    ua: str


class Visit(msgspec.Struct, gc=False):
    """An event, normalised; what `enrich` and `score` add is empty at first."""

    id: int
    session: str
    ts: int
    user: str
    path: str
    ref: str
    country: str
    dur_ms: int
    agent: str
    segment: str = ""
    home: str = ""
    weight: float = 1.0
    score: float = 0.0


class User(msgspec.Struct, gc=False):
    """What is known of a user."""

    segment: str
    home: str
    weight: float


USER = {name: User(**known) for name, known in functions.USER.items()}
UNKNOWN = User(**functions.UNKNOWN)


def normalise(event: Event) -> Visit:
    """Other names, lower case, and the URL in two."""
    path, _, referrer = event.url.partition("?ref=")
    return Visit(
        event.id, event.sid, round(event.ts.timestamp() * 1000), event.user_id, path.lower(), referrer.lower(),
        event.country.lower(), event.ms, event.ua.lower(),
    )  # fmt: skip


def enrich(visit: Visit) -> Visit:
    """What is known of the user; changes the row."""
    user = USER.get(visit.user, UNKNOWN)
    visit.segment = user.segment
    visit.home = user.home
    visit.weight = user.weight
    return visit


def score(visit: Visit) -> Visit:
    """How much the visit is worth; changes the row."""
    value = math.log1p(visit.dur_ms) * visit.weight + 0.1 * len(visit.path)
    if visit.country == visit.home:
        value += 0.5
    visit.score = round(value, 6)
    return visit
