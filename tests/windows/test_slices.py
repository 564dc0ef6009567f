"""Slices and sessions against brute force: every row is in exactly the windows that hold its time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.windows import sessions
from penstock.windows.sessions import ACCUMULATOR, FIRST, LAST
from penstock.windows.slices import Slices
from penstock.windows.window import MICROSECONDS, SessionWindow, SlicedWindow, count_window, session, sliding, tumbling


@st.composite
def sliced(draw: st.DrawFn) -> Slices:
    every = draw(st.integers(1, 12))
    size = draw(st.integers(every, 40))
    window = sliding(size, every=every, offset=draw(st.integers(0, 30)))
    return Slices.of(window)


def windows_of(slices: Slices, time: int) -> list[int]:
    """The ends of all windows with start <= time < end, found by looking at each."""
    ends = range(time - 3 * slices.size - slices.offset, time + 2 * slices.size + 1)
    return [
        end for end in ends
        if (end - slices.size - slices.offset) % slices.every == 0 and end - slices.size <= time < end
    ]


def in_seconds(slices: Slices) -> Slices:
    return Slices(*(value // MICROSECONDS for value in (slices.size, slices.every, slices.slice, slices.offset)))


@given(sliced(), st.integers(-200, 200))
def test_a_row_is_in_the_windows_that_hold_its_time(of: Slices, time: int) -> None:
    slices = in_seconds(of)
    end = slices.end_of(time)
    assert end == eval(slices.end_text("time"), {"time": time})
    assert end - slices.slice <= time < end
    expected = windows_of(slices, time)
    assert list(slices.windows_of(end)) == expected
    assert slices.first_window_of(end) == expected[0] and slices.last_window_of(end) == expected[-1]
    for window in expected:
        assert end in slices.slices_of(window)
        assert len(slices.slices_of(window)) * slices.slice == slices.size


@given(sliced(), st.lists(st.integers(-50, 50), max_size=20), st.lists(st.integers(-60, 120), max_size=8))
def test_each_window_is_complete_once_and_slices_are_kept_for_as_long_as_one_needs_them(
    of: Slices, times: list[int], watermarks: list[int]
) -> None:
    slices = in_seconds(of)
    kept = {slices.end_of(time) for time in times}
    expected = sorted({end for time in times for end in windows_of(slices, time)})
    given: list[int] = []
    before = -1000
    for closed in sorted({*watermarks, 1000}):
        assert [*given, *slices.open_windows(kept, before)] == expected
        completed = list(slices.completed(kept, before, closed))
        for window in completed:
            assert not {end for end in slices.slices_of(window) if end in {slices.end_of(t) for t in times}} - kept
        given += completed
        kept -= set(slices.needless(kept, closed))
        before = closed
    assert given == expected and not kept


@given(sliced(), st.integers(-50, 50), st.integers(-60, 100))
def test_a_row_is_late_once_all_its_windows_are_complete(of: Slices, time: int, closed: int) -> None:
    slices = in_seconds(of)
    assert slices.is_late(slices.end_of(time), closed) == all(end <= closed for end in windows_of(slices, time))


def model_sessions(times: list[int], gap: int) -> list[tuple[int, int, list[int]]]:
    found: list[tuple[int, int, list[int]]] = []
    for time in sorted(times):
        if found and time - found[-1][1] < gap:
            found[-1] = (found[-1][0], time, [*found[-1][2], time])
        else:
            found.append((time, time, [time]))
    return found


def add(kept: list[sessions.Session], time: int, gap: int) -> list[sessions.Session]:
    def merged(one: sessions.Session, other: sessions.Session) -> sessions.Session:
        return [*one[:ACCUMULATOR], one[ACCUMULATOR] + other[ACCUMULATOR]]

    return sessions.add_row(
        kept, time, gap, lambda: [time, time, [time]], lambda session: session[ACCUMULATOR].append(time), merged
    )


@given(st.lists(st.integers(0, 60), max_size=25), st.integers(1, 12))
def test_sessions_do_not_depend_on_the_order_of_rows(times: list[int], gap: int) -> None:
    kept: list[sessions.Session] = []
    for time in times:
        kept = add(kept, time, gap)
    given = [(one[FIRST], one[LAST], sorted(one[ACCUMULATOR])) for one in kept]
    assert given == model_sessions(times, gap)


@given(st.lists(st.integers(0, 60), max_size=25), st.integers(1, 12), st.integers(0, 15))
def test_a_session_is_given_once_and_no_row_that_is_not_late_would_have_been_in_it(
    times: list[int], gap: int, disorder: int
) -> None:
    kept: list[sessions.Session] = []
    given: list[sessions.Session] = []
    counted: list[int] = []
    watermark = -100
    for time in times:
        if not sessions.is_late(time, watermark):
            counted.append(time)
            kept = add(kept, time, gap)
        watermark = max(watermark, time - disorder)
        complete, kept = sessions.split_complete(kept, gap, watermark)
        given += complete
    complete, kept = sessions.split_complete(kept, gap, 1000)
    assert not kept
    found = sorted((one[FIRST], one[LAST], sorted(one[ACCUMULATOR])) for one in given + complete)
    assert found == model_sessions(counted, gap)


def test_what_raises_leaves_sessions_as_they_were() -> None:
    kept = add(add([], 0, 10), 15, 10)
    before = [[*one[:ACCUMULATOR], list(one[ACCUMULATOR])] for one in kept]

    def fails(*args: object) -> None:
        raise ValueError

    def merged(one: sessions.Session, other: sessions.Session) -> sessions.Session:
        return [*one[:ACCUMULATOR], one[ACCUMULATOR] + other[ACCUMULATOR]]

    for time in (7, 2, 60):
        with pytest.raises(ValueError):
            sessions.add_row(kept, time, 10, fails, fails, merged)  # type: ignore[arg-type]
        assert kept == before


@pytest.mark.parametrize(
    ("window", "what"),
    [
        (tumbling("0s"), "size: '0s' is no time at all"),
        (tumbling("ten"), "size: 'ten' is not a duration"),
        (sliding("5s", every="10s"), "leave out the rows between them"),
        (session("soon"), "gap: 'soon'"),
        (count_window(0), "rows=0"),
    ],
)
def test_windows_that_cannot_be_are_told(window: SlicedWindow | SessionWindow, what: str) -> None:
    assert any(what in found and remedy for found, remedy in window.mistakes())


def test_windows_have_the_names_that_users_wrote() -> None:
    names = [one.name for one in (tumbling("10s"), sliding("1m", every="10s"), session(30), count_window(5))]
    assert names == ["tumbling(10s)", "sliding(1m, every=10s)", "session(30s)", "count_window(5)"]


def test_a_mistake_in_the_size_of_a_tumbling_window_is_told_once() -> None:
    assert [what for what, _ in tumbling("0s").mistakes()] == ["size: '0s' is no time at all"]
    assert [what for what, _ in sliding("0s", every="0s").mistakes()] == ["size: '0s' is no time at all"]
    assert len(list(sliding("10s", every="0s").mistakes())) == 1
