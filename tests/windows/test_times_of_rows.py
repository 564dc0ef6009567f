"""Rows find their windows by the times that they have, however these are written, long ago or far in the future."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from window_driver import Driver

import penstock as ps
from penstock.operators.event_time import EventTime, Field
from penstock.operators.windowed.aggregate import Aggregate
from penstock.operators.windowed.windowed_operator import WindowOptions
from penstock.windows.window import SlicedWindow


class At(msgspec.Struct):
    k: str
    at: datetime
    v: int


class Whole(msgspec.Struct):
    k: str
    at: int
    v: int


class Stamp(datetime):
    """As pandas has its own."""


class Number(int):
    """As numpy has its own."""


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
ZONES: list[tzinfo] = [UTC, UTC, UTC, timezone(timedelta(hours=5, minutes=30)), ZoneInfo("Europe/Amsterdam")]
PLACES = [0, -86_400, -10_000_000_000, 2**31, 1_772_366_400, 2**32, 2**33, 7_258_118_400, 100_000_000_000]
"""Seconds since 1970 around which there are rows: where floats, and 32 bits, come to their ends."""


@st.composite
def windows(draw: st.DrawFn) -> SlicedWindow:
    unit = draw(st.sampled_from([1.0, 1.0, 0.5]))
    every, more = draw(st.integers(1, 15)), draw(st.sampled_from([0, 0, 0, 3, 20]))
    offset = draw(st.integers(0, 40))
    made = ps.sliding((every + more) * unit, every=every * unit, offset=offset * unit)
    assert isinstance(made, SlicedWindow)
    return made


@st.composite
def moments(draw: st.DrawFn) -> list[int]:
    """In microseconds: near each other, out of order, and often at the very bounds of seconds."""
    place = draw(st.sampled_from(PLACES))
    one = st.builds(
        lambda second, part: (place + second) * 1_000_000 + part,
        st.integers(-40, 40), st.sampled_from([0, 0, 1, 2, 500_000, 999_998, 999_999]),
    )
    return draw(st.lists(one, min_size=1, max_size=30))


def datetime_of(moment: int, chance: random.Random) -> datetime:
    made = (EPOCH + moment * MICROSECOND).astimezone(chance.choice(ZONES))
    if chance.random() < 0.1:
        return Stamp.fromisoformat(made.isoformat())
    return made


def driven(operator: Any, rows: Sequence[Any], times: dict[int, int], disorder: int, chance: random.Random) -> Driver:
    class OfRows(Driver):
        def time_of(self, event: Any) -> int:
            return times[event.v]

    driver = OfRows(operator, cast("list[Any]", rows), disorder, chance)
    driver.run()
    return driver


def expected(
    window: SlicedWindow, rows: Sequence[Any], times: dict[int, int], watermarks: Sequence[int]
) -> dict[tuple[str, int, int], list[int]]:
    found: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for row, watermark in zip(rows, watermarks, strict=True):
        time = times[row.v]
        start = time - (time - window.offset_us) % window.every_us
        while start + window.size_us > time:
            if start + window.size_us > watermark:
                found[row.k, start, start + window.size_us].append(row.v)
            start -= window.every_us
    return {place: sorted(values) for place, values in found.items()}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("row_type", [At, Whole])
@pytest.mark.parametrize("early", [None, 4_000_000])
@settings(max_examples=40)
@given(window=windows(), moments=moments(), disorder=st.sampled_from([0, 10**6, 10**9]), seed=st.integers(0, 2**32))
def test_rows_are_in_the_windows_that_their_times_are_in(
    row_type: type, unit: str, early: int | None, window: SlicedWindow, moments: list[int], disorder: int, seed: int
) -> None:
    chance = random.Random(seed)
    rows: list[Any] = []
    times: dict[int, int] = {}
    for number, moment in enumerate(moments):
        whole = moment // UNITS[unit]
        value: Any = datetime_of(moment, chance) if row_type is At else whole
        if row_type is Whole and chance.random() < 0.1:
            value = Number(whole)
        rows.append(row_type(chance.choice("ab"), value, number))
        times[number] = moment if row_type is At else whole * UNITS[unit]
    options = WindowOptions(window, early=None if early is None else early / 1e6)
    made = Aggregate(None, "f.py:1", key="k", options=options, aggregations=(("values", ps.collect("v")),))
    event_time = EventTime(Field("at"), "f.py:1", unit=unit)
    driver = driven(made.placed(row_type, event_time), rows, times, disorder, chance)
    given = {}
    for row in driver.given:  # the last result of a window is the final one
        bounds = [bound_of(row[name], unit) for name in ("start", "end")]
        given[row["k"], *bounds] = sorted(row["values"])
    wanted = expected(window, rows, times, driver.watermarks)
    if early is None:
        assert len(driver.given) == len(given)
    assert given == wanted


def bound_of(bound: Any, unit: str) -> int:
    return (bound - EPOCH) // MICROSECOND if isinstance(bound, datetime) else round(bound * UNITS[unit])
