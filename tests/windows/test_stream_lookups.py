"""Lookups in streams over the real state, with kills, rows that fail, and rows out of order and late."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from window_driver import Driver, Event, Times

import penstock as ps
from penstock import testing
from penstock.operators.joined.right_row import RightRow
from penstock.operators.looked_up.stream_lookup import StreamLookup

ROW, VERSION = 0, 1
Drawn = tuple[str, int, int]

events = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.sampled_from([ROW, VERSION])), min_size=1, max_size=30
)
hows = st.sampled_from(["inner", "left"])


class Sided(Driver):
    """Events of both sides."""

    def time_of(self, event: Any) -> int:
        return (event.row if isinstance(event, RightRow) else event).t  # type: ignore[no-any-return]


def is_gone(version: Event) -> bool:
    return version.v % 5 == 4


def driven(events: list[Drawn], how: Any, *, versioned: bool, disorder: int, seed: int) -> tuple[list[Event], Sided]:
    of = StreamLookup(None, "f.py:1", "k", "k", how=how, versioned=versioned, gone=is_gone)
    of = of.between(Event, Event, Times(), Times())
    rows = [Event(key, time, number) for number, (key, time, _) in enumerate(events)]
    given = [row if side == ROW else RightRow(row) for row, (_, _, side) in zip(rows, events, strict=True)]
    driver = Sided(of, given, disorder, random.Random(seed))
    driver.run()
    return rows, driver


def numbers(pair: tuple[Event, Event | None]) -> tuple[int, int]:
    row, version = pair
    return row.v, -1 if version is None else version.v


def pairs(row: Event, version: Event | None, how: str) -> list[tuple[int, int]]:
    if version is not None and is_gone(version):
        version = None
    return [numbers((row, version))] if version is not None or how == "left" else []


@settings(max_examples=60)
@given(events=events, how=hows, seed=st.integers(0, 2**32))
def test_a_row_comes_with_the_version_that_came_last_before_it(events: list[Drawn], how: str, seed: int) -> None:
    rows, driver = driven(events, how, versioned=False, disorder=0, seed=seed)
    latest: dict[str, Event] = {}
    expected = []
    for row, (_, _, side) in zip(rows, events, strict=True):
        if side == VERSION:
            latest[row.k] = row
        else:
            expected += pairs(row, latest.get(row.k), how)
    assert [numbers(pair) for pair in driver.given] == expected


@settings(max_examples=100)
@given(events=events, how=hows, disorder=st.integers(0, 30), seed=st.integers(0, 2**32))
def test_a_row_comes_with_the_version_that_held_at_its_time_as_far_as_it_was_known(
    events: list[Drawn], how: str, disorder: int, seed: int
) -> None:
    rows, driver = driven(events, how, versioned=True, disorder=disorder, seed=seed)
    marks, expected, late = driver.watermarks, [], 0
    for number, (row, (_, _, side)) in enumerate(zip(rows, events, strict=True)):
        late += row.t < marks[number]
        if side == VERSION or row.t < marks[number]:
            continue
        # What has come when the watermark passes the row: all before the first row that was judged by a later one.
        decided = next((at for at in range(len(rows)) if marks[at] > row.t), len(rows))
        known = [
            other for other, (_, _, its) in zip(rows[:decided], events)
            if its == VERSION and other.k == row.k and other.t <= row.t
        ]
        expected += pairs(row, max(known, key=lambda other: (other.t, other.v), default=None), how)
    assert sorted(numbers(pair) for pair in driver.given) == sorted(expected)
    assert driver.late == late


RATES = [{"code": "eur", "at": at, "rate": at} for at in (0, 10, 20)]
ORDERS = [{"code": "eur", "at": 19}, {"code": "usd", "at": 5}, {"code": "eur", "at": 10}, {"code": "eur", "at": 25}]


def app_of(**options: Any) -> ps.Pipeline:
    app = ps.Pipeline("rates")
    rates = app.source(RATES, name="rates").stage("timed-rates").event_time("at")
    orders = app.source(ORDERS, name="orders").stage("timed-orders").event_time("at", disorder="20s")
    orders.stage("priced", workers=2).key_by("code").lookup(rates, **options).sink(print, name="out")
    return app


def test_orders_are_priced_by_the_rate_of_their_time() -> None:
    found = testing.run(app_of(versioned=True, how="left"), {"orders": ORDERS, "rates": RATES}).outputs["out"]
    given = {order["at"]: None if rate is None else rate["rate"] for order, rate in found}
    assert given == {19: 10, 5: None, 10: 10, 25: 20}


def test_a_run_with_processes_gives_the_same(tmp_path: Any) -> None:
    outcome = testing.run(app_of(versioned=True), {"orders": ORDERS, "rates": RATES}, processes=True)
    assert sorted((o["at"], r["rate"]) for o, r in outcome.outputs["out"]) == [(10, 10), (19, 10), (25, 20)]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"on": "code", "how": "outer"}, "how='outer' is none of"),
        ({"on": "code", "gone": 3}, "gone=3 is neither a field nor a function"),
    ],
)
def test_a_lookup_that_cannot_be_is_told(options: dict[str, Any], what: str) -> None:
    assert any(what in str(one) for one in app_of(**options).check())


def test_a_versioned_lookup_needs_the_times_of_both_streams() -> None:
    app = ps.Pipeline("rates")
    rates = app.source(RATES, name="rates")
    orders = app.source(ORDERS, name="orders")
    orders.stage("priced").key_by("code").lookup(rates, versioned=True).sink(print)
    told = [str(one) for one in app.check()]
    assert any("the left rows have no event time" in one for one in told)
    assert any("the right rows have no event time" in one for one in told)


def test_options_of_the_other_kind_of_table_are_a_wrong_call() -> None:
    app = ps.Pipeline("rates")
    keyed = app.source(ORDERS, name="orders").stage("priced").key_by("code")
    with pytest.raises(TypeError, match="versioned= and gone= with a stream"):
        keyed.lookup(RATES, versioned=True)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="is for keyed rows: write"):
        app.source(ORDERS, name="more").lookup(app.source(RATES, name="some"), on="code")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="key= and reload= with a table"):
        keyed.lookup(app.source(RATES, name="rates"), reload="1s")  # type: ignore[call-overload]
