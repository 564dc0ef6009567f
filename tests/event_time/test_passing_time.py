"""Event time through whole pipelines, in this process: it never goes back, makes no row late, and reaches its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from watching import LOG, SECOND, Counted, Event, Seen, watched

import penstock as ps
from penstock.event_time import END_OF_TIME
from penstock.testing import run


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


@settings(max_examples=150, deadline=None)
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
