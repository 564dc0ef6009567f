"""Makes Nexmark events: in each group of 50, one person, three auctions and 46 bids, as the standard has it.

The proportions, hot keys and sizes are those of the generator that Beam and Flink share. A group is a function of its
number and the seed, so any process can make any part of the stream, and two runs over it see the same.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from nexmark.events import Auction, Bid, Event, Person

GROUP: Final = 50
"""Events of a group: a person, then three auctions, then bids."""
AUCTIONS: Final = 3
FIRST_ID: Final = 1000
FIRST_CATEGORY: Final = 10
CATEGORIES: Final = 5
BASE_MS: Final = 1_436_918_400_000
"""2015-07-15 00:00:00 UTC, when the stream begins."""
HOT_EVERY: Final = 100
"""One in so many auctions, sellers and bidders is hot."""
IN_FLIGHT: Final = 100
"""So many of the last auctions get bids."""
ACTIVE: Final = 1000
"""So many of the last persons bid and sell."""
LEAD: Final = 10
"""So far ahead of the last person or auction an id may be: events refer to some that come later."""

_STATES: Final = ("az", "ca", "id", "or", "wa", "wy")
_CITIES: Final = (
    "phoenix", "los angeles", "san francisco", "boise", "portland", "bend", "redmond", "seattle", "kent", "cheyenne"
)
_FIRST: Final = ("peter", "paul", "luke", "john", "saul", "vicky", "kate", "julie", "sarah", "deiter", "walter")
_LAST: Final = ("shultz", "abrams", "spencer", "white", "bartels", "walton", "smith", "jones", "noris")
_HOT_CHANNELS: Final = ("Google", "Facebook", "Baidu", "Apple")
_HOT_URLS: Final = tuple(f"https://www.nexmark.com/{path}/item.htm?query=1" for path in (
    "vzbh/gkz_/yha", "_mks/ppeq/sic", "pd_/a_y/p_f_", "rxa/bnn/fl_"
))


class Generator:
    """The stream at `events_per_s` events a second of event time."""

    def __init__(self, *, events_per_s: int = 10_000, seed: int = 0) -> None:
        self._events_per_s = events_per_s
        self._seed = seed

    def events(self, first: int, last: int) -> Iterator[Event]:
        """Those with the numbers from `first` to before `last`."""
        for group in range(first // GROUP, -(-last // GROUP)):
            begin = group * GROUP
            yield from self._group(group)[max(first - begin, 0) : last - begin]

    def _group(self, group: int) -> list[Event]:
        rng = random.Random(self._seed << 40 | group)
        begin = group * GROUP
        events: list[Event] = [self._person(rng, group, self._time_ms(begin))]
        for number in range(1, GROUP):
            time_ms = self._time_ms(begin + number)
            if number <= AUCTIONS:
                events.append(self._auction(rng, group, number - 1, begin + number, time_ms))
            else:
                events.append(self._bid(rng, group, time_ms))
        return events

    def _time_ms(self, number: int) -> int:
        return BASE_MS + number * 1000 // self._events_per_s

    def _person(self, rng: random.Random, group: int, time_ms: int) -> Person:
        return Person(
            id=FIRST_ID + group, name=f"{rng.choice(_FIRST)} {rng.choice(_LAST)}",
            email_address=f"{_text(rng, 7)}@{_text(rng, 5)}.com",
            credit_card=" ".join(f"{rng.randrange(10_000):04}" for _ in range(4)),
            city=rng.choice(_CITIES), state=rng.choice(_STATES), date_time=time_ms, extra=_text(rng, 60),
        )

    def _auction(self, rng: random.Random, group: int, place: int, number: int, time_ms: int) -> Auction:
        hot = rng.randrange(4) > 0
        seller = FIRST_ID + (group // HOT_EVERY * HOT_EVERY if hot else _near_person(rng, group))
        initial = _price(rng)
        # As many more events as it takes until so many more auctions are open.
        horizon_ms = self._time_ms(number + IN_FLIGHT * GROUP // AUCTIONS) - time_ms
        return Auction(
            id=FIRST_ID + group * AUCTIONS + place, item_name=_text(rng, 12), description=_text(rng, 50),
            initial_bid=initial, reserve=initial + _price(rng), date_time=time_ms,
            expires=time_ms + 1 + rng.randrange(max(horizon_ms * 2, 1)), seller=seller,
            category=FIRST_CATEGORY + rng.randrange(CATEGORIES), extra=_text(rng, 200),
        )

    def _bid(self, rng: random.Random, group: int, time_ms: int) -> Bid:
        newest = group * AUCTIONS + AUCTIONS - 1
        hot_auction, hot_bidder = rng.randrange(2) > 0, rng.randrange(4) > 0
        oldest = max(newest - IN_FLIGHT, 0)
        auction = newest // HOT_EVERY * HOT_EVERY if hot_auction else oldest + rng.randrange(newest - oldest + 1 + LEAD)
        bidder = group // HOT_EVERY * HOT_EVERY + 1 if hot_bidder else _near_person(rng, group)
        channel = rng.randrange(2 * len(_HOT_CHANNELS))
        if channel < len(_HOT_CHANNELS):
            name, url = _HOT_CHANNELS[channel], _HOT_URLS[channel]
        else:
            known = rng.randrange(10_000)
            name = f"channel-{known}"
            url = f"https://www.nexmark.com/{_text(rng, 4)}/{_text(rng, 4)}/{_text(rng, 3)}/item.htm?query=1"
            if known % 10:
                url += f"&channel_id={known * 163_053 % (1 << 31)}"
        return Bid(
            auction=FIRST_ID + auction, bidder=FIRST_ID + bidder, price=_price(rng), channel=name, url=url,
            date_time=time_ms, extra=_text(rng, 40),
        )


def _near_person(rng: random.Random, last: int) -> int:
    active = min(last + 1, ACTIVE)
    return last + 1 - active + rng.randrange(active + LEAD)


def _price(rng: random.Random) -> int:
    return round(10 ** (rng.random() * 6) * 100)


# Texts are cut out of this one: drawing each letter would take most of the time.
_LONG_TEXT: Final = "".join(random.Random(0).choices(string.ascii_lowercase, k=1 << 16))


def _text(rng: random.Random, length: int) -> str:
    begin = int(rng.random() * (len(_LONG_TEXT) - length))
    return _LONG_TEXT[begin : begin + length]


def write(path: Path, events: int, *, events_per_s: int = 10_000, seed: int = 0) -> None:
    """As JSON lines."""
    encode = msgspec.json.Encoder().encode_into
    buffer = bytearray()
    with path.open("wb") as file:
        for event in Generator(events_per_s=events_per_s, seed=seed).events(0, events):
            encode(event, buffer, -1)
            buffer += b"\n"
            if len(buffer) > 1 << 20:
                file.write(buffer)
                buffer.clear()
        file.write(buffer)

