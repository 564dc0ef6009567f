"""Event time through whole pipelines, in this process: it never goes back, makes no row late, and reaches its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watching import LOG, SECOND, Counted, Event, Seen, Watch, watched

import penstock as ps
from penstock.event_time import END_OF_TIME
from penstock.operators.keyed_operator import KeyFailed
from penstock.testing import Pause, ScriptedSource, Watermark, run


def same(event: Event) -> Event:
    return event


async def later(event: Event) -> Event:
    await asyncio.sleep(event.number % 3 / 1000)
    return event


def many(events: list[Event]) -> list[Event]:
    return events


def twice(event: Event) -> list[Event]:
    return [event, event]


def odd(event: Event) -> bool:
    return event.number % 2 == 1


VERBS = {
    "map": lambda stream: stream.map(same),
    "async": lambda stream: stream.map(later),
    "map_many": lambda stream: stream.map_many(many),
    "flat_map": lambda stream: stream.flat_map(twice),
    "filter": lambda stream: stream.filter(odd),
}


def events(random: Random, count: int, disorder_us: int) -> list[Event]:
    """In the order of their times, but for the disorder."""
    times = sorted(random.randrange(30 * SECOND) for _ in range(count))
    shaken = sorted((us + random.uniform(0, disorder_us), us) for us in times)
    return [Event(us, number, random.choice("abcde")) for number, (_, us) in enumerate(shaken)]


def by_second(rows: list[Event]) -> Counter[int]:
    return Counter(row.us // SECOND * SECOND + SECOND for row in rows)


def as_counter(counted: list[Counted]) -> Counter[int]:
    found: Counter[int] = Counter()
    for each in counted:
        found[each.end_us] += each.rows
    found.pop(END_OF_TIME, None)
    return found


def check(log: list[Seen]) -> None:
    """Of every call: time grows strictly, ends, and no row came that is older than what it was told."""
    watches = {seen.watch for seen in log}
    for watch in watches:
        mine = [seen for seen in log if seen.watch == watch]
        times = [seen.us for seen in mine if seen.kind == "time"]
        assert times == sorted(set(times))
        assert times[-1] == END_OF_TIME
        assert [seen.kind for seen in mine].count("end") == 1 and mine[-1].kind == "end"
        known = times[0] - 1
        for seen in mine:
            if seen.kind == "time":
                known = seen.us
            elif seen.kind == "row":
                assert seen.us >= known or known == times[0] - 1


@pytest.mark.timeout(900)
@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.data())
def test_every_row_is_in_time_and_every_second_is_counted_whole(random: Random, data: st.DataObject) -> None:
    LOG.clear()
    app = ps.Pipeline("times")
    disorder_us = data.draw(st.sampled_from([0, 100_000, 3 * SECOND]), "disorder")
    sources = data.draw(st.integers(1, 2), "sources")
    in_source = data.draw(st.booleans(), "event time in the source's stage")
    edge = ps.Edge(batch_rows=data.draw(st.sampled_from([2, 7, 8192]), "rows of a frame"))
    inputs: dict[str, list[Event]] = {}
    streams = []
    in_order = sources == 1
    for n in range(sources):
        workers = data.draw(st.integers(1, 3), "workers of the source")
        name = f"source{n}"
        in_order = in_order and workers == 1
        inputs[name] = events(random, data.draw(st.integers(0, 60), "rows"), disorder_us)
        stream: Any = app.source([Event(0)], name=name, workers=workers)
        if in_source:
            stream = stream.event_time("us", disorder=disorder_us / 1e6, unit="us")
        streams.append(stream)
    stream = streams[0].merge(*streams[1:]) if len(streams) > 1 else streams[0]
    expected = [row for rows in inputs.values() for row in rows]
    if not in_source:
        workers = data.draw(st.integers(1, 2))
        in_order = in_order and workers == 1
        stream = stream.stage("timed", workers=workers, edge=edge).map(same)
        stream = stream.event_time("us", disorder=disorder_us / 1e6, unit="us")
    for n in range(data.draw(st.integers(0, 2), "stages between")):
        verb = data.draw(st.sampled_from(sorted(VERBS)), "verb")
        ordered, workers = in_order and data.draw(st.booleans(), "ordered"), data.draw(st.integers(1, 3))
        in_order = in_order and (ordered or workers == 1)
        stream = stream.stage(f"stage{n}", workers=workers, ordered=ordered, edge=edge)
        if not ordered and data.draw(st.booleans(), "keyed"):
            stream = stream.key_by("key")
        stream = VERBS[verb](stream)
        expected = {"flat_map": lambda rows: rows * 2, "filter": lambda rows: list(filter(odd, rows))}.get(
            verb, lambda rows: rows
        )(expected)
    stream = stream.stage("watch", workers=data.draw(st.integers(1, 3)), edge=edge).key_by("key")
    watched(stream).sink(print, name="out")
    outcome = run(app, inputs)
    assert not outcome.dead_letters
    check(LOG)
    assert as_counter(outcome.outputs["out"]) == by_second(expected)
    assert sum(seen.kind == "row" for seen in LOG) == len(expected)


# What follows, and when. All by a clock that stands still while there is something to do.


def seconds(*times: float) -> list[Event]:
    return [Event(round(at * SECOND)) for at in times]


def counts_of(steps: list[Any], **options: Any) -> tuple[list[tuple[float, int]], list[Seen]]:
    """The counts in the order in which they came out, and what the calls saw."""
    LOG.clear()
    app = ps.Pipeline("times")
    stream: Any = app.source(ScriptedSource(steps), name="source").event_time("us", unit="us", **options)
    watched(stream.stage("watch").key_by("key")).sink(print, name="out")
    outcome = run(app, {"source": ScriptedSource(steps)})
    assert not outcome.dead_letters
    counted = [(row.end_us / SECOND, row.rows) for row in outcome.outputs["out"] if row.end_us != END_OF_TIME]
    return counted, list(LOG)


def told(log: list[Seen]) -> list[float]:
    """How far event time had come, each time that a call was told."""
    return [seen.us / SECOND for seen in log if seen.kind == "time" and seen.us != END_OF_TIME]


def test_disorder_is_waited_for() -> None:
    counted, log = counts_of([*seconds(0, 1, 2.5), Pause("1s"), *seconds(1.5), Pause("1s"), *seconds(9)], disorder="1s")
    assert told(log) == [1.5, 8.0]
    assert counted == [(1, 1), (2, 2), (3, 1), (10, 1)]


def test_what_is_older_than_the_disorder_allows_is_late_and_counted() -> None:
    LOG.clear()
    app = ps.Pipeline("times")
    steps = [*seconds(0, 5), Pause("1s"), *seconds(2, 4.5, 6)]
    stream: Any = app.source(ScriptedSource(steps), name="source").event_time("us", unit="us", disorder="1s")
    watched(stream.stage("watch").key_by("key")).sink(print, name="out")
    outcome = run(app, {"source": ScriptedSource(steps)})
    assert outcome.report.stages["watch"].late == 1
    assert outcome.report.stages["source"].late == outcome.report.stages["out"].late == 0
    assert "late" in str(outcome.report)
    assert sum(row.rows for row in outcome.outputs["out"]) == 4


def test_rows_of_one_batch_are_not_late_to_each_other() -> None:
    """What is late is judged by what was known before the batch came; the disorder says what is known behind it."""
    counted, log = counts_of([*seconds(5, 1), Pause("1s"), *seconds(7)])
    assert told(log) == [5.0, 7.0]
    assert counted == [(2, 1), (6, 1), (8, 1)]


def test_a_watermark_of_the_source_closes_what_no_row_has() -> None:
    steps = [*seconds(0.5), Watermark(3), Pause("1s"), *seconds(3.5)]
    counted, log = counts_of(steps, disorder="60s")
    assert told(log)[-1] == 3.0
    assert counted[0] == (1, 1)
    assert log.index(Seen(log[0].watch, "time", 3 * SECOND)) < log.index(Seen(log[0].watch, "row", 3_500_000))


@pytest.mark.parametrize("time", ["10", True, float("nan")])
def test_a_watermark_that_is_no_moment_is_refused(time: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Watermark(time)


def two_sources(quiet: list[Any], busy: list[Any], idle_after: str | None) -> list[Seen]:
    LOG.clear()
    app = ps.Pipeline("times")
    one: Any = app.source(ScriptedSource(quiet), name="quiet").event_time("us", unit="us", idle_after=idle_after)
    other: Any = app.source(ScriptedSource(busy), name="busy").event_time("us", unit="us")
    watched(one.merge(other).stage("watch").key_by("key")).sink(print, name="out")
    run(app, {"quiet": ScriptedSource(quiet), "busy": ScriptedSource(busy)})
    return list(LOG)


QUIET = [*seconds(1), Pause("10s"), *seconds(20)]
BUSY = [step for at in range(2, 12) for step in (*seconds(at), Pause("1s"))]


def test_the_slowest_input_is_waited_for() -> None:
    assert told(two_sources(QUIET, BUSY, None)) == [1.0, 11.0]


def test_an_input_that_has_nothing_for_long_is_set_aside_and_comes_back() -> None:
    log = two_sources(QUIET, BUSY, "2500ms")
    assert told(log) == [1.0, *map(float, range(4, 12))]
    check(log)


def test_end_of_one_input_is_the_end_of_its_times() -> None:
    assert told(two_sources(seconds(1), BUSY, None)) == list(map(float, range(2, 12)))


async def sleepy(event: Event) -> Event:
    await asyncio.sleep(0.05 if event.number == 0 else 0)
    return event


def test_time_does_not_overtake_rows_in_flight() -> None:
    LOG.clear()
    app = ps.Pipeline("times")
    rows = [Event(n * SECOND, n) for n in range(6)]
    steps: list[Any] = [step for row in rows for step in (row, Pause("1ms"))]
    stream: Any = app.source(ScriptedSource(steps), name="source").event_time("us", unit="us").stage("call").map(sleepy)
    watched(stream.stage("watch").key_by("key")).sink(print, name="out")
    run(app, {"source": ScriptedSource(steps)})
    check(LOG)
    assert [seen.us for seen in LOG if seen.kind == "row"] == [row.us for row in rows]


class Flaky:
    """The first attempt of row 2 fails."""

    def __init__(self) -> None:
        self.failed = False

    def __call__(self, event: Event) -> Event:
        if event.number == 2 and not self.failed:
            self.failed = True
            raise OSError("once")
        return event


def test_a_row_that_waits_for_another_attempt_holds_time_back_and_is_not_late() -> None:
    LOG.clear()
    app = ps.Pipeline("times")
    steps: list[Any] = [step for n in range(6) for step in (Event(n * SECOND, n), Pause("1s"))]
    stream: Any = app.source(ScriptedSource(steps), name="source").event_time("us", unit="us")
    stream = stream.stage("call", retries=1, retry_delay="2500ms").map(Flaky())
    watched(stream.stage("watch").key_by("key")).sink(print, name="out")
    outcome = run(app, {"source": ScriptedSource(steps)})
    assert outcome.report.stages["call"].retries == 1
    assert outcome.report.stages["watch"].late == 0
    rows = [seen.us // SECOND for seen in LOG if seen.kind == "row"]
    assert rows.index(2) > rows.index(3)
    assert told(LOG)[:2] == [0.0, 1.0] and 2.0 not in told(LOG)


def test_a_row_that_failed_for_good_does_not_move_time() -> None:
    def fails(event: Event) -> Event:
        if event.number == 1:
            raise ValueError("broken")
        return event

    LOG.clear()
    app = ps.Pipeline("times")
    rows = [Event(SECOND, 0), Event(3_000_000 * SECOND, 1), Event(2 * SECOND, 2)]
    stream: Any = app.source(rows, name="source").event_time("us", unit="us").map(fails)
    watched(stream.stage("watch").key_by("key")).sink(print, name="out")
    outcome = run(app, {"source": rows})
    assert len(outcome.dead_letters) == 1
    assert told(LOG) == [2.0]


def test_a_wrong_time_is_an_error_of_its_row() -> None:
    app = ps.Pipeline("times")
    given: Any = [{"at": 1}, {"at": "noon"}, {"at": 3}]
    app.source(given, name="source").event_time("at").sink(print, name="out")
    outcome = run(app, {"source": given})
    assert [row["at"] for row in outcome.outputs["out"]] == [1, 3]
    [letter] = outcome.dead_letters
    assert "a time must be a number or a datetime, not str: 'noon'; convert it before" in letter.error
    assert letter.operator.startswith("event_time('at')")


class Closes(Watch):
    """Many windows that end at once, and how many rows were on their way at most."""

    most_on_their_way = 0
    rows = 150_000
    taken = 0

    def advance(self, watermark_us: int) -> Iterator[Any]:
        if watermark_us == END_OF_TIME:
            for number in range(self.rows):
                Closes.most_on_their_way = max(Closes.most_on_their_way, number - Closes.taken)
                yield Counted(number, 1)

    def end(self) -> Iterator[Any]:
        return iter(())


def takes(row: Counted) -> Counted:
    Closes.taken += 1
    return row


def test_what_follows_at_once_is_sent_as_it_comes_and_never_waits_in_memory() -> None:
    Closes.most_on_their_way = Closes.taken = 0
    app = ps.Pipeline("times")
    stream: Any = app.source(seconds(1), name="source").event_time("us", unit="us")
    closed = watched(stream.stage("watch").key_by("key"), Closes)
    closed.stage("take", edge=ps.Edge(memory="512 KiB")).map(takes).sink(print, name="out")
    outcome = run(app, {"source": seconds(1)})
    assert [row.end_us for row in outcome.outputs["out"]] == list(range(Closes.rows))
    assert Closes.most_on_their_way < Closes.rows / 2  # what the queue and a turn hold
    assert outcome.report.stages["watch"].rows_out == Closes.rows


class Breaks(Watch):
    """User code that raises for one key when its time has come, and goes on with the next."""

    def advance(self, watermark_us: int) -> Iterator[Any]:
        if watermark_us == END_OF_TIME:
            yield Counted(1, 1)
            yield KeyFailed("b", 5 * SECOND, ValueError("no such tariff"))
            yield Counted(2, 1)


def test_an_error_at_its_time_is_a_letter_with_operator_key_and_time() -> None:
    app = ps.Pipeline("times")
    stream: Any = app.source(seconds(1), name="source").event_time("us", unit="us")
    watched(stream.stage("watch").key_by("key"), Breaks).sink(print, name="out")
    outcome = run(app, {"source": seconds(1)})
    assert [row.end_us for row in outcome.outputs["out"]] == [1, 2, END_OF_TIME]
    [letter] = outcome.dead_letters
    assert (letter.stage, letter.row) == ("watch", "b")
    assert letter.operator.startswith("watching")
    assert letter.error.startswith("ValueError: no such tariff; it was called at 1970-01-01T00:00:05Z for this key")


def test_what_fails_behind_an_operator_when_its_time_has_come_is_tried_again_in_its_place() -> None:
    attempts: Counter[int] = Counter()

    def fails_once(row: Counted) -> Counted:
        attempts[row.end_us] += 1
        if row.end_us == 3 * SECOND or (attempts[row.end_us] == 1 and row.end_us == 2 * SECOND):
            raise OSError("down")
        return row

    app = ps.Pipeline("times")
    given = seconds(0.5, 1.5, 2.5, 3.5)
    stream: Any = app.source(given, name="source").event_time("us", unit="us")
    stage = stream.stage("watch", retries=2, retry_delay="1s").key_by("key")
    watched(stage).map(fails_once).sink(print, name="out")
    outcome = run(app, {"source": given})
    ends = [row.end_us // SECOND for row in outcome.outputs["out"] if row.end_us != END_OF_TIME]
    assert ends == [1, 2, 4]
    assert attempts[2 * SECOND] == 2 and attempts[3 * SECOND] == 3
    [letter] = outcome.dead_letters
    assert letter.row.end_us == 3 * SECOND and letter.attempts == 3


class Ends(Watch):
    """Gives rows when all is over, more than a turn holds."""

    rows = 30_000

    def __call__(self, row: Event) -> list[Any]:
        return [row]

    def end(self) -> Iterator[Any]:
        return (Event(10 * SECOND, number) for number in range(self.rows))


def test_rows_that_are_given_at_the_end_are_not_late_to_those_behind() -> None:
    """Only the END of a queue is the end of time: whatever comes before it may have rows behind it."""
    LOG.clear()
    app = ps.Pipeline("times")
    given = seconds(1, 5)
    edge = ps.Edge(memory="512 KiB", batch_rows=1000)
    stream: Any = app.source(given, name="source").event_time("us", unit="us")
    ends = watched(stream.stage("ends", edge=edge).key_by("key"), Ends)
    watched(ends.stage("watch", edge=edge).key_by("key")).sink(print, name="out")
    outcome = run(app, {"source": given})
    assert outcome.report.stages["watch"].late == 0
    counted = {row.end_us // SECOND: row.rows for row in outcome.outputs["out"] if row.end_us != END_OF_TIME}
    assert counted == {2: 1, 6: 1, 11: Ends.rows}
    check([seen for seen in LOG if seen.watch == LOG[-1].watch])
