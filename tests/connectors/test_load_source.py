"""Generated rows: the schedule's arithmetic, replay, and a reader on a clock that the test drives."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.connectors import load
from penstock.connectors.load_schedule import Schedule, Share
from penstock.operator import Context
from penstock.options import parse_duration
from penstock.source import EndOfSplit, Position

rates = st.floats(0.01, 1e6)
schedules = st.builds(
    lambda calm, burst, span, part: Schedule(calm, burst, span, span * part),
    rates, rates, st.floats(0.1, 100.0), st.floats(0.0, 1.0),
)


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 1.7e9

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def numbers(index: int, rng: Random) -> tuple[int, float]:
    return index, rng.random()


@given(schedule=schedules, earlier=st.floats(0, 1e4), later=st.floats(0, 1e4))
def test_what_is_due_stays_due(schedule: Schedule, earlier: float, later: float) -> None:
    assume(earlier <= later)
    assert schedule.rows_due(earlier) <= schedule.rows_due(later)


@given(schedule=schedules, row=st.integers(1, 10**6))
def test_a_row_is_due_when_it_is_said_to_be_and_not_before(schedule: Schedule, row: int) -> None:
    due_s = schedule.due_at(row)
    assume(due_s < 1e6)
    slowest = max(1 / schedule.calm_per_s, 1 / schedule.burst_per_s)
    assert schedule.rows_due(due_s + 1e-3 * slowest + 1e-9 * due_s) >= row
    assert schedule.rows_due(max(0.0, due_s - 1e-3 * slowest - 1e-9 * due_s)) <= row


@pytest.mark.parametrize(("seconds", "rows"), [(-1, 0), (0, 0), (0.5, 50), (1, 100), (3600, 360_000)])
def test_a_steady_profile_gives_its_rate(seconds: float, rows: int) -> None:
    assert load.steady("100/s").schedule().rows_due(seconds) == rows


@pytest.mark.parametrize(("seconds", "rows"), [(1, 10), (20, 200), (21, 300), (30, 1200), (31, 1210), (60, 2400)])
def test_a_burst_ends_each_span(seconds: float, rows: int) -> None:
    profile = load.bursts("10/s", burst="100/s", every="30s", lasting="10s")
    assert profile.schedule().rows_due(seconds) == rows


@given(stride=st.integers(1, load.MAX_WORKERS), rows=st.none() | st.integers(0, 200), due=st.integers(0, 300))
def test_shares_add_up_to_the_whole(stride: int, rows: int | None, due: int) -> None:
    shares = [Share(first, stride, rows) for first in range(load.MAX_WORKERS)]
    given_out = [share.index(done) for share in shares for done in range(share.due(due))]
    assert sorted(given_out) == list(range(due if rows is None else min(due, rows)))
    assert all(share.exhausted(share.due(10**6)) for share in shares if rows is not None or share.first >= stride)


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        (load.steady("fast"), "not a rate"),
        (load.steady("0/s"), "never gives a row"),
        (load.bursts("1/s", burst="x", every="30s", lasting="10s"), "burst: 'x' is not a rate"),
        (load.bursts("1/s", burst="2/s", every="1s", lasting="10s"), "shorten it"),
        (load.bursts("1/s", burst="2/s", every="soon", lasting="1s"), "every: 'soon'"),
    ],
)
def test_mistakes_are_told_in_words_and_not_raised(profile: load.Profile, problem: str) -> None:
    [found] = load.generate(numbers, profile).check_source()
    assert problem in found


def test_a_wrong_call_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"load\.steady"):
        load.generate(numbers, "5/s")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="function"):
        load.generate(3, load.steady("5/s"))  # type: ignore[arg-type]


def test_the_source_ends_only_with_rows() -> None:
    assert load.generate(numbers, load.steady("5/s"), rows=3).bounded
    endless = load.generate(numbers, load.steady("5/s"))
    assert not endless.bounded and endless.replayable and endless.label == "generate"
    assert endless.row_type == tuple[int, float]
    assert load.generate(lambda i, rng: i, load.steady("5/s")).row_type is Any
    assert [p for p in load.generate(numbers, load.steady("5/s"), rows=-1).check_source() if "negative" in p]


def reader_on(
    clock: HandClock, *, rate: str = "100/s", rows: int | None = None, position: Position | None = None,
    share: Share | None = None,
) -> load.GenerateReader[tuple[int, float]]:
    return load.GenerateReader(
        numbers, load.steady(rate).schedule(), share or Share(0, 1, rows), 7, position, clock=clock
    )


def test_rows_come_as_they_fall_due() -> None:
    clock = HandClock()
    reader = reader_on(clock)
    assert reader.read() is None
    assert parse_duration(reader.poll_after) == pytest.approx(0.01)
    clock.now += 0.035
    assert [row[0] for row in reader.read() or ()] == [0, 1, 2]
    assert reader.read() is None
    assert parse_duration(reader.poll_after) == pytest.approx(0.005)


def test_rows_that_could_not_be_given_are_owed() -> None:
    clock = HandClock()
    reader = reader_on(clock, rate="1000/s")
    clock.now += 100
    assert sum(len(reader.read() or ()) for _ in range(200)) == 100_000


def drained(reader: load.GenerateReader[Any], clock: HandClock) -> list[Any]:
    rows: list[Any] = []
    while True:
        try:
            rows += reader.read() or ()
        except EndOfSplit:
            return rows
        clock.now += parse_duration(reader.poll_after)


@given(stops=st.lists(st.integers(1, 5), max_size=5), rows=st.integers(0, 60))
def test_a_successor_makes_the_same_rows_that_would_have_followed(stops: list[int], rows: int) -> None:
    clock = HandClock()
    whole = drained(reader_on(clock, rows=rows), clock)
    position: Position | None = None
    parts: list[Any] = []
    for reads in stops:
        reader = reader_on(clock, rows=rows, position=position)
        for _ in range(reads):
            clock.now += 0.02
            try:
                parts += reader.read() or ()
            except EndOfSplit:
                break
        position = reader.position()
    parts += drained(reader_on(clock, rows=rows, position=position), clock)
    assert parts == whole
    assert [row[0] for row in whole] == list(range(rows))


def test_a_successor_owes_what_fell_due_meanwhile() -> None:
    clock = HandClock()
    reader = reader_on(clock)
    clock.now += 1
    assert len(reader.read() or ()) == 100
    clock.now += 2
    assert len(reader_on(clock, position=reader.position()).read() or ()) == 200


def test_a_run_taken_over_next_morning_does_not_make_up_for_the_night() -> None:
    clock = HandClock()
    position = reader_on(clock).position()
    clock.now += 8 * 3600
    successor = reader_on(clock, position=position)
    owed = sum(len(successor.read() or ()) for _ in range(5))
    assert owed == pytest.approx(100 * load.OWED_AFTER_ABSENCE_S, abs=2)


def test_a_clock_set_back_does_not_stop_the_rows() -> None:
    clock = HandClock()
    reader = reader_on(clock)
    clock.now += 100
    assert reader.read()
    position = reader.position()
    clock.now -= 90
    successor = reader_on(clock, position=position)
    clock.now += 0.05
    assert successor.read()


def test_workers_deal_the_rows_among_them() -> None:
    source = load.generate(numbers, load.steady("1000000/s"), rows=50)
    splits = source.splits()
    rows: list[tuple[int, float]] = []
    for slot, split in enumerate(splits.values()):
        context = Context(pipeline="p", stage="s", slot=slot % 3, workers=3, attempt=1)
        reader = source.open(split, None, context)
        while True:
            try:
                rows += reader.read() or ()  # type: ignore[arg-type]
            except EndOfSplit:
                break
    assert sorted(index for index, _ in rows) == list(range(50))


def test_an_error_of_make_names_the_row() -> None:
    def broken(index: int, rng: Random) -> int:
        raise ValueError("no")

    clock = HandClock()
    reader = load.GenerateReader(broken, load.steady("10/s").schedule(), Share(3, 4, None), 0, None, clock=clock)
    clock.now += 1
    with pytest.raises(ValueError, match="no") as caught:
        reader.read()
    assert caught.value.__notes__ == ["while making row 3 of load.generate"]


@given(seed=st.integers(), n=st.integers(1, 10**9), exponent=st.floats(0, 4))
def test_zipf_stays_in_its_range(seed: int, n: int, exponent: float) -> None:
    assert 0 <= load.zipf(Random(seed), n, exponent=exponent) < n


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.1, 2.0])
def test_zipf_is_as_skewed_as_it_says(exponent: float) -> None:
    rng, n, draws = Random(3), 20, 40_000
    found = Counter(load.zipf(rng, n, exponent=exponent) for _ in range(draws))
    total = sum((k + 1) ** -exponent for k in range(n))
    for k in range(n):
        expected = draws * (k + 1) ** -exponent / total
        assert abs(found[k] - expected) < 5 * expected**0.5 + 5


def test_zipf_refuses_an_empty_range() -> None:
    with pytest.raises(ValueError, match="n of at least 1"):
        load.zipf(Random(0), 0)
