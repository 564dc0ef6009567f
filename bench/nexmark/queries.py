"""The queries of Nexmark as pipelines over a file of events; each gives its rows as lists, in no order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeGuard

import msgspec

import penstock as ps
from nexmark.events import Auction, Bid, Event, Person
from penstock.connectors import files

Rows: TypeAlias = "ps.Stream[list[Any]]"
DAY: Final = ps.tumbling("1d")


def is_bid(event: Event) -> TypeGuard[Bid]:
    return isinstance(event, Bid)


def is_auction(event: Event) -> TypeGuard[Auction]:
    return isinstance(event, Auction)


def is_person(event: Event) -> TypeGuard[Person]:
    return isinstance(event, Person)


def _bids(events: ps.Stream[Event]) -> ps.Stream[Bid]:
    return events.filter(is_bid)


def _day(window: Any) -> str:
    return datetime.fromtimestamp(window / 1000, UTC).strftime("%Y-%m-%d")


# Rows by themselves.

def q0(events: ps.Stream[Event], workers: int) -> Rows:
    return _bids(events).map(lambda bid: [bid.auction, bid.bidder, bid.price, bid.date_time])


def q1(events: ps.Stream[Event], workers: int) -> Rows:
    return _bids(events).map(lambda bid: [bid.auction, bid.bidder, 0.908 * bid.price, bid.date_time])


def q2(events: ps.Stream[Event], workers: int) -> Rows:
    wanted = frozenset((1007, 1020, 2001, 2019, 2087))
    return _bids(events).filter(lambda bid: bid.auction in wanted).map(lambda bid: [bid.auction, bid.price])


def _time_of_day(hour: int) -> str:
    if 8 <= hour <= 18:
        return "dayTime"
    return "nightTime" if hour <= 6 or hour >= 20 else "otherTime"


def q14(events: ps.Stream[Event], workers: int) -> Rows:
    def row(bid: Bid) -> list[Any]:
        hour = bid.date_time // 3_600_000 % 24
        return [
            bid.auction, bid.bidder, 0.908 * bid.price, _time_of_day(hour), bid.date_time, bid.extra.count("c")
        ]

    return _bids(events).filter(lambda bid: 1_000_000 < 0.908 * bid.price < 50_000_000).map(row)


_KNOWN_CHANNELS: Final = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
_CHANNEL_ID: Final = re.compile("(?:&|^)channel_id=([^&]*)")


def _channel_id(bid: Bid) -> str | None:
    known = _KNOWN_CHANNELS.get(bid.channel.lower())
    if known is not None:
        return known
    found = _CHANNEL_ID.search(bid.url)
    return (found[1] or None) if found else None


def q21(events: ps.Stream[Event], workers: int) -> Rows:
    def rows(bid: Bid) -> list[list[Any]]:
        found = _channel_id(bid)
        return [] if found is None else [[bid.auction, bid.bidder, bid.price, bid.channel, found]]

    return _bids(events).flat_map(rows)


def q22(events: ps.Stream[Event], workers: int) -> Rows:
    return _bids(events).map(
        lambda bid: [bid.auction, bid.bidder, bid.price, bid.channel, *(bid.url.split("/") + [""] * 3)[3:6]]
    )


# Windows.

def q5(events: ps.Stream[Event], workers: int) -> Rows:
    counts = (
        _bids(events).stage("count", workers=workers).key_by("auction")
        .window(ps.sliding("10s", every="2s"), time="date_time", unit="ms").aggregate(n=ps.count())
    )

    def hottest(window: Any) -> Iterator[list[Any]]:
        most = max(row["n"] for row in window.value)
        return ([row["auction"], row["n"]] for row in window.value if row["n"] == most)

    # All counts of a window have its end as their time, and no two windows end within two seconds.
    return (
        counts.stage("hottest").key_by(lambda row: 0).window(ps.tumbling("2s"), time=_end, unit="ms")
        .collect(limit=1_000_000).flat_map(hottest)
    )


def _end(row: dict[str, Any]) -> int:
    return int(row["end"])


def q7(events: ps.Stream[Event], workers: int) -> Rows:
    def highest(best: list[Bid], bid: Bid) -> list[Bid]:
        if not best or bid.price > best[0].price:
            return [bid]
        return [*best, bid] if bid.price == best[0].price else best

    return (
        _bids(events).stage("highest").key_by(lambda bid: 0)
        .window(ps.tumbling("10s"), time="date_time", unit="ms").fold([], highest)
        .flat_map(lambda window: [[bid.auction, bid.price, bid.bidder, bid.date_time] for bid in window.value])
    )


def q11(events: ps.Stream[Event], workers: int) -> Rows:
    return (
        _bids(events).stage("sessions", workers=workers).key_by("bidder")
        .window(ps.session("10s"), time="date_time", unit="ms").aggregate(n=ps.count())
        .map(lambda row: [row["bidder"], row["n"], row["start"], row["end"]])
    )


def _four_sets() -> list[set[int]]:
    return [set() for _ in range(4)]


class ByPrice(msgspec.Struct):
    """Counts of bids, of bidders and of auctions: of all bids, and of three ranks of prices."""

    bids: list[int] = msgspec.field(default_factory=lambda: [0] * 4)
    bidders: list[set[int]] = msgspec.field(default_factory=_four_sets)
    auctions: list[set[int]] = msgspec.field(default_factory=_four_sets)

    def add(self, bid: Bid) -> None:
        rank = 1 if bid.price < 10_000 else 2 if bid.price < 1_000_000 else 3
        for place in (0, rank):
            self.bids[place] += 1
            self.bidders[place].add(bid.bidder)
            self.auctions[place].add(bid.auction)

    def merge(self, other: ByPrice) -> None:
        for place in range(4):
            self.bids[place] += other.bids[place]
            self.bidders[place] |= other.bidders[place]
            self.auctions[place] |= other.auctions[place]

    def result(self) -> list[int]:
        return [*self.bids, *map(len, self.bidders), *map(len, self.auctions)]


def q15(events: ps.Stream[Event], workers: int) -> Rows:
    return (
        _bids(events).stage("count").key_by(lambda bid: 0).window(DAY, time="date_time", unit="ms")
        .aggregate(counts=ByPrice).map(lambda row: [_day(row["start"]), *row["counts"]])
    )


def q16(events: ps.Stream[Event], workers: int) -> Rows:
    def row(found: dict[str, Any]) -> list[Any]:
        last = datetime.fromtimestamp(found["last"] / 1000, UTC)
        return [found["channel"], _day(found["start"]), last.strftime("%I:%m"), *found["counts"]]

    return (
        _bids(events).stage("count", workers=workers).key_by("channel").window(DAY, time="date_time", unit="ms")
        .aggregate(counts=ByPrice, last=ps.max("date_time")).map(row)
    )


class Ranks(msgspec.Struct):
    """Counts of bids: of all, and of three ranks of prices."""

    bids: list[int] = msgspec.field(default_factory=lambda: [0] * 4)

    def add(self, bid: Bid) -> None:
        self.bids[0] += 1
        self.bids[1 if bid.price < 10_000 else 2 if bid.price < 1_000_000 else 3] += 1

    def merge(self, other: Ranks) -> None:
        self.bids = [a + b for a, b in zip(self.bids, other.bids, strict=True)]

    def result(self) -> list[int]:
        return self.bids


def q17(events: ps.Stream[Event], workers: int) -> Rows:
    return (
        _bids(events).stage("count", workers=workers).key_by("auction").window(DAY, time="date_time", unit="ms")
        .aggregate(
            ranks=Ranks, low=ps.min("price"), high=ps.max("price"), mean=ps.mean("price"), total=ps.sum("price")
        )
        .map(lambda row: [
            row["auction"], _day(row["start"]), *row["ranks"], row["low"], row["high"], row["mean"], row["total"]
        ])
    )


def q18(events: ps.Stream[Event], workers: int) -> Rows:
    """The last bid of each bidder in each auction. The stream is shorter than a day, so a day's window has all."""
    def newer(last: Bid | None, bid: Bid) -> Bid:
        if last is None or (bid.date_time, last.extra) > (last.date_time, bid.extra):
            return bid
        return last

    return (
        _bids(events).stage("last", workers=workers).key_by(lambda bid: (bid.bidder, bid.auction))
        .window(DAY, time="date_time", unit="ms").fold(None, newer).map(lambda window: _whole(window.value))
    )


def _whole(bid: Bid) -> list[Any]:
    return [bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.date_time, bid.extra]


def q19(events: ps.Stream[Event], workers: int) -> Rows:
    return (
        _bids(events).stage("top", workers=workers).key_by("auction").window(DAY, time="date_time", unit="ms")
        .top(10, by="price").map(lambda ranked: [*_whole(ranked.row), ranked.rank])
    )


QUERIES: Final[dict[str, Callable[[ps.Stream[Event], int], Rows]]] = {
    "q0": q0, "q1": q1, "q2": q2, "q5": q5, "q7": q7, "q11": q11, "q14": q14, "q15": q15, "q16": q16, "q17": q17,
    "q18": q18, "q19": q19, "q21": q21, "q22": q22,
}

TIMES: Final[dict[str, tuple[int, ...]]] = {
    "q0": (3,), "q1": (3,), "q7": (3,), "q11": (2, 3), "q14": (4,), "q18": (5,), "q19": (5,)
}
"""The columns of the rows that are milliseconds since the epoch."""


def results(query: str, output: Path) -> Iterator[list[Any]]:
    """The rows that a pipeline has written, with times as datetimes."""
    with output.open("rb") as file:
        for line in file:
            row = msgspec.json.decode(line)
            for place in TIMES.get(query, ()):
                row[place] = datetime.fromtimestamp(row[place] / 1000, UTC).replace(tzinfo=None)
            yield row


def pipeline(query: str, events: Path, output: Path, *, workers: int = 2) -> ps.Pipeline:
    """A query over a file of events, whose rows go to a file of JSON lines."""
    app = ps.Pipeline(f"nexmark-{query}")
    parsed = app.source(files.lines(events), name="events").parse_json(Person | Auction | Bid)
    rows = QUERIES[query](parsed, workers)
    rows.sink(files.json_lines(output, if_exists="overwrite"), name="rows")
    return app
