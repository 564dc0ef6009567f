"""Joins in whole pipelines, run in memory: pairs, rows without a match, mistakes, and what a plan shows."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock import testing


class Bid(msgspec.Struct):
    auction: int
    at: float
    price: int


class Auction(msgspec.Struct):
    id: int
    opened: float
    item: str


def bids(count: int) -> list[Bid]:
    rng = random.Random(1)
    return [Bid(rng.randint(1, 9), at + rng.random() * 3, at) for at in range(count)]


def auctions(count: int) -> list[Auction]:
    rng = random.Random(2)
    return [Auction(rng.randint(1, 12), at * 4 + rng.random() * 3, f"item{at}") for at in range(count)]


def streams() -> tuple[ps.Pipeline, ps.Stream[Bid], ps.Stream[Auction]]:
    app = ps.Pipeline("joins")
    left = app.source(bids(3), name="bids").stage("timed-bids").map(_bid).event_time("at", disorder="4s")
    right = app.source(auctions(3), name="auctions").stage("timed-auctions").map(_auction)
    return app, left, right.event_time("opened", disorder="4s")


def _bid(row: Bid) -> Bid:
    return row


def _auction(row: Auction) -> Auction:
    return row


@pytest.mark.parametrize("how", ["inner", "left", "right", "outer"])
def test_a_join_gives_the_pairs_of_both_streams(how: Any) -> None:
    app, left, right = streams()
    joined = left.stage("join", workers=2).key_by("auction").join(right, on="id", within=("2s", "6s"), how=how)
    joined.sink(print, name="out")
    lefts, rights = bids(80), auctions(25)
    outcome = testing.run(app, {"bids": lefts, "auctions": rights})
    pairs = [(a, b) for a in lefts for b in rights if a.auction == b.id and -2 <= b.opened - a.at <= 6]
    expected: list[Any] = list(pairs)
    if how in ("left", "outer"):
        expected += [(a, None) for a in lefts if not any(a is pair[0] for pair in pairs)]
    if how in ("right", "outer"):
        expected += [(None, b) for b in rights if not any(b is pair[1] for pair in pairs)]
    assert sorted(map(repr, outcome.outputs["out"])) == sorted(map(repr, expected))
    assert len(pairs) > 10 and outcome.dead_letters == ()


def test_a_window_join_gives_the_pairs_of_each_window_and_may_be_joined_before_it_is_built() -> None:
    app = ps.Pipeline("joins")
    left = app.source(bids(3), name="bids").stage("timed-bids").map(_bid).event_time("at", disorder="4s")
    keyed = left.stage("join", workers=2).key_by("auction")  # the other stream is built only now
    right = app.source(auctions(3), name="auctions").stage("timed-auctions").map(_auction)
    timed = right.event_time("opened", disorder="4s")
    keyed.window(ps.tumbling("10s")).join(timed, on=lambda auction: auction.id, how="left").sink(print, name="out")
    lefts, rights = bids(80), auctions(25)
    outcome = testing.run(app, {"bids": lefts, "auctions": rights})
    pairs = [(a, b) for a in lefts for b in rights if a.auction == b.id and a.at // 10 == b.opened // 10]
    expected = pairs + [(a, None) for a in lefts if not any(a is pair[0] for pair in pairs)]  # type: ignore[operator]
    assert sorted(map(repr, outcome.outputs["out"])) == sorted(map(repr, expected))


def test_a_row_whose_key_cannot_be_read_is_a_dead_letter_of_its_own() -> None:
    app, left, right = streams()
    keyed = left.stage("join").key_by("auction")
    keyed.join(right, on=_key, within="100s").sink(print, name="out")
    outcome = testing.run(app, {"bids": [Bid(1, 1.0, 5)], "auctions": [Auction(1, 1.0, "a"), Auction(13, 1.0, "b")]})
    assert [pair[1].item for pair in outcome.outputs["out"]] == ["a"]
    [letter] = outcome.dead_letters
    assert "unlucky" in letter.error


def _key(auction: Auction) -> int:
    if auction.id == 13:
        raise ValueError("unlucky")
    return auction.id


class Named(msgspec.Struct):
    id: str
    at: float


def _named(row: Bid) -> Named:
    return Named(str(row.auction), row.at)


Build = Callable[[ps.Stream[Bid], ps.Stream[Auction]], ps.Stream[Any]]
MISTAKES: dict[str, tuple[Build, str]] = {
    "no such key": (
        lambda left, right: left.stage("j").key_by("auction").join(right, on="idd", within="1s"),
        "Auction has no field 'idd'; did you mean 'id'?",
    ),
    "keys of two types": (
        lambda left, right: left.map(_named).event_time("at").stage("j").key_by("id").join(right, on="id", within="1s"),
        "keys of the left rows are str, those of the right ones int",
    ),
    "no time": (
        lambda left, right: left.stage("j").key_by("auction").join(right.map(_untimed), on="id", within="1s"),
        "has no field 'opened' for event_time",
    ),
    "of itself": (
        lambda left, right: _of_itself(left), "what is joined comes of the join's own stage",
    ),
    "not alone": (
        lambda left, right: _beside(left, right), "other operators would be given them, too",
    ),
    "time in the stage": (
        lambda left, right: left.stage("j").key_by("auction").event_time("at").join(right, on="id", within="1s"),
        "event_time would be asked for both",
    ),
    "how": (
        lambda left, right: left.stage("j").key_by("auction").join(right, on="id", within="1s", how="cross"),  # type: ignore[call-overload]
        "how='cross'",
    ),
}


def _untimed(row: Auction) -> Named:
    return Named(str(row.id), row.opened)


def _of_itself(left: ps.Stream[Bid]) -> ps.Stream[Any]:
    keyed = left.stage("j").key_by("auction")
    return keyed.join(keyed, within="1s")


def _beside(left: ps.Stream[Bid], right: ps.Stream[Auction]) -> ps.Stream[Any]:
    keyed = left.stage("j").key_by("auction")
    keyed.map(_bid).sink(print, name="beside")
    return keyed.join(right, on="id", within="1s")


@pytest.mark.parametrize("which", MISTAKES)
def test_a_mistake_is_told_with_what_to_write(which: str) -> None:
    app, left, right = streams()
    build, what = MISTAKES[which]
    build(left, right).sink(print, name="out")
    found = [str(mistake) for mistake in app.check()]
    assert any(what in one for one in found), found


def test_a_stream_of_another_pipeline_cannot_be_joined() -> None:
    app, left, right = streams()
    _, _, foreign = streams()
    left.stage("j").key_by("auction").join(foreign, on="id", within="1s").sink(print, name="out")
    right.sink(print, name="right")
    assert any("another pipeline" in str(mistake) for mistake in app.check())
    with pytest.raises(TypeError, match="takes a stream"):
        left.stage("k").key_by("auction").join([1, 2], within="1s")  # type: ignore[call-overload]


def test_a_plan_shows_both_sides() -> None:
    app, left, right = streams()
    left.stage("join").key_by("auction").join(right, on="id", within="5s").sink(print, name="out")
    text = app.plan().to_text()
    assert "join(on='id', within='5s', how='inner')" in text
    assert "from timed-auctions: hash by 'id', joined" in text
    assert "rows of tuple[Bid, Auction]" in text
