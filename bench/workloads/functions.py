"""What w2 does with each event, on dicts: parse -> normalise -> enrich -> score. Peers and loops call the same ones.

`typed.py` has them for Structs, `columns.py` for columns.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, TypeAlias

from workloads.events import USERS

try:
    import orjson
except ImportError:  # penstock's own environment does without
    import msgspec

    JSON = "msgspec"
    parse, dump = msgspec.json.decode, msgspec.json.encode
else:
    JSON = "orjson"
    parse, dump = orjson.loads, orjson.dumps

Row: TypeAlias = dict[str, str | int | float]
"""An event or a visit; what its fields may be is said so that penstock knows that msgpack can carry it."""

_SEGMENTS = ("free", "trial", "pro", "team", "enterprise")
_HOMES = ("de", "us", "fr", "gb", "in", "br", "jp", "pl")


def user_table() -> dict[str, dict[str, Any]]:
    """The 10,000 users that `enrich` looks up."""
    return {
        f"u{number}": {
            "segment": _SEGMENTS[number * 7919 % 5],
            "home": _HOMES[number * 104729 % 8],
            "weight": 1.0 + number * 31 % 100 / 64.0,
        }
        for number in range(USERS)
    }


USER = user_table()
UNKNOWN: dict[str, Any] = {"segment": "unknown", "home": "", "weight": 1.0}


def epoch_ms(stamp: str) -> int:
    """Milliseconds since 1970 of an ISO time."""
    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


def normalise(event: Row) -> Row:
    """Other names, lower case, numbers as numbers, and the URL in two."""
    path, _, referrer = event["url"].partition("?ref=")
    return {
        "id": event["id"],
        "session": event["sid"],
        "ts": epoch_ms(event["ts"]),
        "user": event["user_id"],
        "path": path.lower(),
        "ref": referrer.lower(),
        "country": event["country"].lower(),
        "dur_ms": int(event["ms"]),
        "agent": event["ua"].lower(),
    }


def enrich(visit: Row) -> Row:
    """What is known of the user; changes the row."""
    user = USER.get(visit["user"], UNKNOWN)
    visit["segment"] = user["segment"]
    visit["home"] = user["home"]
    visit["weight"] = user["weight"]
    return visit


def score(visit: Row) -> Row:
    """How much the visit is worth; changes the row."""
    value = math.log1p(visit["dur_ms"]) * visit["weight"] + 0.1 * len(visit["path"])
    if visit["country"] == visit["home"]:
        value += 0.5
    visit["score"] = round(value, 6)
    return visit


def parse_and_normalise(line: bytes) -> Row:
    """The first of the middle stages."""
    return normalise(parse(line))


def all_of_it(line: bytes) -> Row:
    """Everything from the line to the scored visit."""
    return score(enrich(normalise(parse(line))))


def double(number: int) -> int:
    """What w1 does."""
    return number * 2
