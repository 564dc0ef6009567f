"""The queries of Nexmark as pipelines over a file of events; each gives its rows as lists, in no order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
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


def q12(events: ps.Stream[Event], workers: int) -> Rows:
    """By the clock: how many bids of whom are in which window depends on when they are read."""
    return (
        _bids(events).stage("count", workers=workers).key_by("bidder")
        .window(ps.tumbling("10s"), time=ps.processing_time()).aggregate(n=ps.count())
        .map(lambda row: [row["bidder"], row["n"], round(row["start"] * 1000), round(row["end"] * 1000)])
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


# Joins, and what needs a state of its own.

def _timed(events: ps.Stream[Event]) -> ps.Stream[Event]:
    return events.event_time("date_time", unit="ms")


def _whose(event: Person | Auction) -> int:
    return event.id if isinstance(event, Person) else event.seller


class Seller(ps.KeyState):
    person = ps.ValueState[Person | None](None)
    auctions = ps.ListState(int)


def _local(event: Person | Auction, state: Seller) -> Iterator[list[Any]]:
    if isinstance(event, Person):
        state.person = event
        auctions = list(state.auctions)
        state.auctions.clear()
    else:
        auctions = [event.id]
    person = state.person
    if person is None:
        state.auctions.extend(auctions)
        return
    for auction in auctions:
        yield [person.name, person.city, person.state, auction]


def q3(events: ps.Stream[Event], workers: int) -> Rows:
    def is_wanted(event: Event) -> TypeGuard[Person | Auction]:
        if isinstance(event, Person):
            return event.state in ("or", "id", "ca")
        return isinstance(event, Auction) and event.category == 10

    return events.filter(is_wanted).stage("join", workers=workers).key_by(_whose).process(_local)


class Offer(ps.KeyState):
    auction = ps.ValueState[Auction | None](None)
    best = ps.ValueState[Bid | None](None)
    early = ps.ListState(Bid)
    """Bids that came before their auction."""


class Won(msgspec.Struct, frozen=True):
    auction: Auction
    bid: Bid


class Winning:
    """The bid that wins an auction, once no other can come: the highest or the lowest, and the first of equal ones."""

    def __init__(self, sign: int = 1) -> None:
        """`sign`: -1 for the lowest."""
        self._sign = sign

    def __call__(self, event: Auction | Bid, state: Offer) -> None:
        if isinstance(event, Auction):
            state.auction = event
            state.set_timer((event.expires + 1) / 1000)
            for bid in state.early:
                self._take(event, bid, state)
            state.early.clear()
        elif state.auction is not None:
            self._take(state.auction, event, state)
        else:  # it counts if its auction comes in the same millisecond
            state.early.append(event)
            state.set_timer((event.date_time + 1) / 1000)

    def on_timer(self, state: Offer, time: float) -> list[Won]:
        auction, best = state.auction, state.best
        if auction is None:
            state.clear()
            return []
        if round(time * 1000) <= auction.expires:
            return []  # set for an early bid
        state.clear()
        return [] if best is None else [Won(auction, best)]

    def _take(self, auction: Auction, bid: Bid, state: Offer) -> None:
        if not auction.date_time <= bid.date_time <= auction.expires:
            return
        best = state.best
        if best is None or bid.price * self._sign > best.price * self._sign:
            state.best = bid


def _about(event: Auction | Bid) -> int:
    return event.id if isinstance(event, Auction) else event.auction


def _no_person(event: Event) -> TypeGuard[Auction | Bid]:
    return not isinstance(event, Person)


def _won(events: ps.Stream[Event], workers: int, sign: int = 1) -> ps.Stream[Won]:
    offers = _timed(events).filter(_no_person).stage("winning", workers=workers).key_by(_about)
    return offers.process(Winning(sign))


def q9(events: ps.Stream[Event], workers: int) -> Rows:
    def row(won: Won) -> list[Any]:
        auction, bid = won.auction, won.bid
        return [
            auction.id, auction.item_name, auction.description, auction.initial_bid, auction.reserve,
            auction.date_time, auction.expires, auction.seller, auction.category, bid.auction, bid.bidder, bid.price,
            bid.date_time,
        ]

    return _won(events, workers).map(row)


class Prices(ps.KeyState):
    count = ps.ValueState(0)
    total = ps.ValueState(0)


class MeanOfFinal:
    """The mean price of a category, once the input is through."""

    def __call__(self, won: Won, state: Prices) -> None:
        state.count += 1
        state.total += won.bid.price

    def on_end(self, state: Prices) -> list[list[Any]]:
        return [[state.key, state.total / state.count]]


def q4(events: ps.Stream[Event], workers: int) -> Rows:
    return _won(events, workers).stage("mean").key_by(lambda won: won.auction.category).process(MeanOfFinal)


class Sold(ps.KeyState):
    prices = ps.ListState(tuple[int, int, int])


class MeanOfEleven:
    """The mean of each price of a seller and the ten before it, by the time of the bids, which is not that of sale."""

    def __call__(self, won: Won, state: Sold) -> None:
        state.prices.append((won.bid.date_time, won.auction.id, won.bid.price))

    def on_end(self, state: Sold) -> Iterator[list[Any]]:
        prices = [price for _, _, price in sorted(state.prices)]
        for place in range(len(prices)):
            last = prices[max(place - 10, 0) : place + 1]
            yield [state.key, sum(last) / len(last)]


def q6(events: ps.Stream[Event], workers: int) -> Rows:
    lowest = _won(events, workers, sign=-1)
    return lowest.stage("mean", workers=workers).key_by(lambda won: won.auction.seller).process(MeanOfEleven)


def q8(events: ps.Stream[Event], workers: int) -> Rows:
    timed = _timed(events)
    opened = timed.filter(is_auction)

    def row(pair: tuple[Person, Auction]) -> tuple[int, str, int]:
        person = pair[0]
        return person.id, person.name, person.date_time // 10_000 * 10_000

    joined = (
        timed.filter(is_person).stage("join", workers=workers).key_by("id").window(ps.tumbling("10s"))
        .join(opened, on="seller").map(row)
    )
    return joined.stage("once", workers=workers).key_by(lambda row: row).dedupe(within=None).map(list)


class Side(msgspec.Struct, frozen=True):
    """A row of the bounded side input."""

    key: int
    value: str


SIDE_INPUT: Final = [Side(key, str(key)) for key in range(10_000)]


def q13(
    events: ps.Stream[Event], workers: int, side: ps.Source[Side] | Sequence[Side] = SIDE_INPUT
) -> Rows:
    def row(pair: tuple[Bid, Side]) -> list[Any]:
        bid, found = pair
        return [bid.auction, bid.bidder, bid.price, bid.date_time, found.value]

    return _bids(events).lookup(side, on="key", key=lambda bid: bid.auction % 10_000).map(row)


class Lot(ps.KeyState):
    auction = ps.ValueState[Auction | None](None)
    early = ps.ListState(Bid)


def _bids_of_category(event: Auction | Bid, state: Lot) -> Iterator[list[Any]]:
    if isinstance(event, Auction):
        state.auction = event
        bids = list(state.early)
        state.early.clear()
    else:
        bids = [event]
    auction = state.auction
    if auction is None:
        state.early.extend(bids)
    elif auction.category == 10:
        for bid in bids:
            yield [
                *_whole(bid), auction.item_name, auction.description, auction.initial_bid, auction.reserve,
                auction.date_time, auction.expires, auction.seller, auction.category, auction.extra,
            ]


def q20(events: ps.Stream[Event], workers: int) -> Rows:
    offers = events.filter(_no_person).stage("join", workers=workers).key_by(_about)
    return offers.process(_bids_of_category)


QUERIES: Final[dict[str, Callable[[ps.Stream[Event], int], Rows]]] = {
    "q0": q0, "q1": q1, "q2": q2, "q3": q3, "q4": q4, "q5": q5, "q6": q6, "q7": q7, "q8": q8, "q9": q9, "q11": q11,
    "q12": q12, "q13": q13, "q14": q14, "q15": q15, "q16": q16, "q17": q17, "q18": q18, "q19": q19, "q20": q20,
    "q21": q21, "q22": q22,
}

TIMES: Final[dict[str, tuple[int, ...]]] = {
    "q0": (3,), "q1": (3,), "q7": (3,), "q8": (2,), "q9": (5, 6, 12), "q11": (2, 3), "q12": (2, 3), "q13": (3,),
    "q14": (4,), "q18": (5,), "q19": (5,), "q20": (5, 11, 12),
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


def pipeline(query: str, events: Path | ps.Source[str], output: Path, *, workers: int = 2) -> ps.Pipeline:
    """A query over the lines of a file of events, whose rows go to a file of JSON lines."""
    app = ps.Pipeline(f"nexmark-{query}")
    lines = files.lines(events) if isinstance(events, Path) else events
    parsed = app.source(lines, name="events").parse_json(Person | Auction | Bid)
    rows = QUERIES[query](parsed, workers)
    rows.sink(files.json_lines(output, if_exists="overwrite"), name="rows")
    return app
