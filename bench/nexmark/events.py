"""The events of Nexmark, an auction house: persons register, sellers open auctions, bidders bid."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Person(msgspec.Struct, tag="person", frozen=True):
    """Somebody registered, who sells or bids from now on."""

    id: int
    name: str
    email_address: str
    credit_card: str
    city: str
    state: str
    date_time: int
    """Milliseconds since the epoch, as in all events."""
    extra: str


class Auction(msgspec.Struct, tag="auction", frozen=True):
    """A seller offers one item."""

    id: int
    item_name: str
    description: str
    initial_bid: int
    reserve: int
    date_time: int
    expires: int
    seller: int
    category: int
    extra: str


class Bid(msgspec.Struct, tag="bid", frozen=True):
    """Somebody bids in an auction. Prices are in cents."""

    auction: int
    bidder: int
    price: int
    channel: str
    url: str
    date_time: int
    extra: str


Event: TypeAlias = Person | Auction | Bid
