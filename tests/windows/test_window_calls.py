"""Windows over the real state, with kills, rows that fail, and rows out of order and late, against plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from window_driver import Driver, Event, Times

import penstock as ps
from penstock.operators.windowed.aggregate import Aggregate, CountAggregate
from penstock.operators.windowed.changes import Change
from penstock.operators.windowed.late import Late
from penstock.operators.windowed.windowed_operator import WindowOptions
from penstock.windows.slices import Slices
from penstock.windows.window import SessionWindow, SlicedWindow, Window

AGGREGATIONS = (
    ("n", ps.count()), ("total", ps.sum("v")), ("values", ps.count_distinct("v")), ("last", ps.last("v")),
    ("spread", ps.quantile("v", 1.0)),
)
MICROSECOND = 1e-6
few = settings(max_examples=40)

events = st.lists(
    st.builds(Event, k=st.sampled_from("abc"), t=st.integers(0, 60), v=st.integers(0, 9)), min_size=1, max_size=40
)
lengths = st.integers(0, 9)
disorders = st.integers(0, 30)
seeds = st.integers(0, 2**32)
sliced = st.builds(
    lambda every, more, offset: ps.sliding(
        (every + more) * MICROSECOND, every=every * MICROSECOND, offset=offset * MICROSECOND
    ),
    st.integers(1, 9), st.sampled_from([0, 0, 3, 8]), st.integers(0, 9),
)
gaps = st.builds(lambda gap: ps.session(gap * MICROSECOND), st.integers(1, 9))


def operator(window: Window, kind: type = Aggregate, **options: Any) -> Any:
    named = {name: options.pop(name) for name in ("lateness", "early", "retracts") if name in options}
    made = kind(None, "f.py:1", key="k", options=WindowOptions(window, **named), **options)
    return made.placed(Event, Times())


def driven(of: Any, events: list[Event], disorder: int, seed: int) -> Driver:
    driver = Driver(of, events, disorder, random.Random(seed))
    driver.run()
    return driver


def sessions_with_rows(gap: int, events: list[Event]) -> dict[tuple[str, int, int], list[Event]]:
    """Every session: (key, start, end) -> its rows, in the order of their arrival."""
    found = {}
    for key in {event.k for event in events}:
        rows = [event for event in events if event.k == key]
        for first, last in sessions_of(sorted(event.t for event in rows), gap):
            found[key, first, last + gap] = [event for event in rows if first <= event.t <= last]
    return found


def sessions_of(times: list[int], gap: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for time in times:
        if found and time - found[-1][1] < gap:
            found[-1] = (found[-1][0], time)
        else:
            found.append((time, time))
    return found


def is_late(window: Window, event: Event, closed: int) -> bool:
    if isinstance(window, SlicedWindow):
        slices = Slices.of(window)
        return all(end <= closed for end in slices.windows_of(slices.end_of(event.t)))
    return isinstance(window, SessionWindow) and event.t < closed


def in_time(window: Window, driver: Driver, events: list[Event], lateness: int) -> list[Event]:
    assert len(driver.watermarks) == len(events)
    judged = zip(events, driver.watermarks, strict=True)
    return [event for event, watermark in judged if not is_late(window, event, watermark - lateness)]


def result(key: str, start: int, end: int, rows: list[Event]) -> dict[str, Any]:
    latest = max(reversed(rows), key=lambda row: row.t)
    return {
        "k": key, "start": start, "end": end, "n": len(rows), "total": sum(row.v for row in rows),
        "values": len({row.v for row in rows}), "last": latest.v,
    }


def session_model(window: SessionWindow, counted: list[Event]) -> list[dict[str, Any]]:
    return ordered(result(*place, rows) for place, rows in sessions_with_rows(window.gap_us, counted).items())


def ordered(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(({k: v for k, v in row.items() if k != "spread"} for row in rows), key=lambda row: str(row))


@few
@given(window=st.one_of(sliced, gaps), events=events, disorder=disorders, lateness=lengths, seed=seeds)
def test_each_window_is_given_once_with_the_rows_that_were_not_late(
    window: Window, events: list[Event], disorder: int, lateness: int, seed: int
) -> None:
    of = operator(window, aggregations=AGGREGATIONS, lateness=lateness * MICROSECOND)
    driver = driven(of, events, disorder, seed)
    counted = in_time(window, driver, events, lateness)
    if isinstance(window, SlicedWindow):
        assert ordered(driver.given) == sliding_model(window, driver, events, lateness)
    if isinstance(window, SessionWindow):
        assert ordered(driver.given) == session_model(window, counted)
    assert driver.late == len(events) - len(counted)


def sliding_model(window: SlicedWindow, driver: Driver, events: list[Event], lateness: int) -> list[dict[str, Any]]:
    """A row counts in those of its windows that were not complete when it came."""
    found: dict[tuple[str, int, int], list[Event]] = defaultdict(list)
    slices = Slices.of(window)
    for event, watermark in zip(events, driver.watermarks, strict=True):
        for end in slices.windows_of(slices.end_of(event.t)):
            if end > watermark - lateness:
                found[event.k, end - slices.size, end].append(event)
    return ordered(result(*place, rows) for place, rows in found.items())


@few
@given(window=st.one_of(sliced, gaps), events=events, disorder=disorders, lateness=lengths, seed=seeds)
def test_late_rows_are_those_that_no_window_counts(
    window: Window, events: list[Event], disorder: int, lateness: int, seed: int
) -> None:
    driver = driven(operator(window, Late, lateness=lateness * MICROSECOND), events, disorder, seed)
    counted = in_time(window, driver, events, lateness)
    assert len(driver.given) == len(events) - len(counted)
    assert all(event not in driver.given or counted.count(event) for event in counted)


@few
@given(
    window=st.one_of(sliced, gaps), events=events, disorder=st.integers(0, 30), early=st.integers(1, 20), seed=seeds,
    lateness=st.integers(0, 9),
)
def test_early_results_and_what_takes_them_back_add_up_to_the_final_ones(
    window: Window, events: list[Event], disorder: int, early: int, seed: int, lateness: int
) -> None:
    of = operator(
        window, aggregations=AGGREGATIONS, early=early * MICROSECOND, retracts=True, lateness=lateness * MICROSECOND
    )
    driver = driven(of, events, disorder, seed)
    holds: list[dict[str, Any]] = []
    for change in driver.given:
        assert isinstance(change, Change)
        if change.added:
            assert change.row not in holds
            holds.append(change.row)
        else:
            holds.remove(change.row)
    if isinstance(window, SlicedWindow):
        assert ordered(holds) == sliding_model(window, driver, events, lateness)
    if isinstance(window, SessionWindow):
        assert ordered(holds) == session_model(window, in_time(window, driver, events, lateness))


@few
@given(window=sliced, events=events, disorder=st.integers(0, 30), early=st.integers(1, 20), seed=seeds)
def test_without_retractions_the_last_result_of_a_window_is_the_final_one(
    window: SlicedWindow, events: list[Event], disorder: int, early: int, seed: int
) -> None:
    of = operator(window, aggregations=AGGREGATIONS, early=early * MICROSECOND)
    driver = driven(of, events, disorder, seed)
    latest = {(row["k"], row["start"]): row for row in driver.given}
    assert ordered(latest.values()) == sliding_model(window, driver, events, 0)


@few
@given(events=events, rows=st.integers(1, 7), seed=seeds)
def test_windows_of_rows_have_so_many_but_for_the_last_of_a_key(events: list[Event], rows: int, seed: int) -> None:
    driver = driven(operator(ps.count_window(rows), CountAggregate, aggregations=AGGREGATIONS), events, 0, seed)
    found = []
    for key in "abc":
        mine = [event for event in events if event.k == key]
        for start in range(0, len(mine), rows):
            found.append(result(key, start, start + len(mine[start : start + rows]), mine[start : start + rows]))
    assert ordered(driver.given) == ordered(found)


def test_a_state_that_is_complete_leaves_nothing() -> None:
    of = operator(ps.tumbling(10 * MICROSECOND), aggregations=AGGREGATIONS)
    driver = driven(of, [Event("a", time, 1) for time in range(50)], 0, 1)
    assert driver.call.shelf.slices == {} and len(driver.given) == 5  # type: ignore[attr-defined]




@pytest.mark.parametrize("window", [ps.tumbling(10 * MICROSECOND), ps.session(3 * MICROSECOND)])
def test_times_far_apart_are_no_trouble(window: Window) -> None:
    of = operator(window, aggregations=AGGREGATIONS)
    rows = [Event("a", -(10**15), 1), Event("a", 10**15, 2), Event("b", 0, 3)]
    driver = driven(of, rows, 10**16, 3)
    assert len(driver.given) == 3
