"""Windows by the clock over the real state: each row counts once, and no window is given twice, whatever the clock."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from window_driver import Event

import penstock as ps
from penstock import testing
from penstock.event_time import NO_WATERMARK
from penstock.memory_files import MemoryFiles
from penstock.operators.windowed.aggregate import Aggregate
from penstock.operators.windowed.windowed_operator import WindowOptions
from penstock.slot.state.slot_state import SlotState
from penstock.slot.time_and_chance import Clock

SIZE, EVERY = 10, 5
steps = st.lists(st.tuples(st.sampled_from("ab"), st.integers(-12, 15), st.booleans()), min_size=1, max_size=25)


class Life:
    """One slot, whose clock is set by hand. What is given is `given`, once it is committed."""

    def __init__(self, window: Any, chance: random.Random) -> None:
        options = WindowOptions(window, by_clock=True)
        self._operator = Aggregate(None, "f.py:1", "k", options, aggregations=(("n", ps.count()),))
        self._chance = chance
        self._files = MemoryFiles()
        self._numbers: list[int] = []
        self.now_us = 1_000
        self.given: list[tuple[str, int, int, int]] = []
        self._committed = 0
        self.live()

    def live(self) -> None:
        del self.given[self._committed :]
        self._state = SlotState(clock=Clock(wall_ns=lambda: self.now_us * 1000))
        stage = self._state.stage("s")
        self.undo = stage.undo
        self.call: Any = self._operator.with_state(lambda row: row, stage.undo, stage.of("aggregate"))
        self._state.open(Path("log"), self._numbers, self._files)
        self.call.begin(NO_WATERMARK)

    def commit(self) -> None:
        self._numbers, self._committed = self._state.flush(), len(self.given)
        self._state.committed()

    def row(self, key: str) -> None:
        self.undo.begin()
        if self._chance.random() < 0.3:
            self.call.step(Event(key, 0, 0))
            self.undo.roll_back()  # it failed behind the window, and is tried again
            self.undo.begin()
        self.call.step(Event(key, 0, 0))

    def tick(self) -> bool:
        """False: killed in the middle."""
        due = self.call.next_tick_us
        return due is None or due > self.now_us or self._take(self.call.tick(self.now_us), self.now_us)

    def end(self) -> bool:
        return self._take(self.call.end(), None)

    def _take(self, rows: Any, now_us: int | None) -> bool:
        for row in rows:
            start, end = round(row["start"] * 1e6), round(row["end"] * 1e6)
            assert now_us is None or end <= now_us, "given before it was over"
            self.given.append((row["k"], start, end, row["n"]))
            if self._chance.random() < 0.4:
                self.commit()
            if self._chance.random() < 0.2:
                self.live()
                return False
        return True


@settings(max_examples=100)
@given(steps=steps, sliding=st.booleans(), seed=st.integers(0, 2**32))
def test_each_row_counts_in_the_windows_of_its_time(steps: list[Any], sliding: bool, seed: int) -> None:
    us = 1e-6
    window = ps.sliding(SIZE * us, every=EVERY * us) if sliding else ps.tumbling(SIZE * us)
    life = Life(window, random.Random(seed))
    for key, passed_us, commits in steps:
        life.row(key)
        if commits:
            life.commit()
        else:
            life.commit()
            life.live()
        life.now_us += passed_us
        while not life.tick():
            pass
    while not life.end():
        pass
    windows = [(key, start) for key, start, _, _ in life.given]
    assert len(windows) == len(set(windows)), "a window was given twice"
    counts: Counter[str] = Counter()
    for key, start, end, n in life.given:
        assert end - start == SIZE
        counts[key] += n
    rows = Counter(key for key, _, _ in steps)
    if not sliding:
        assert counts == rows
    elif all(passed >= 0 for _, passed, _ in steps):
        assert counts == Counter({key: 2 * n for key, n in rows.items()})


ROWS = [{"k": "a"}, testing.Pause("4s"), {"k": "a"}, testing.Pause("7s"), {"k": "b"}, testing.Pause("30s"), {"k": "a"}]


def app_of(**options: Any) -> Any:
    app = ps.Pipeline("clock")
    keyed = app.source([{"k": "a"}], name="rows").stage("count").key_by("k")
    return app, keyed.window(options.pop("window", ps.tumbling("10s")), time=ps.processing_time(), **options)


def test_windows_are_given_when_they_are_over_and_what_is_open_at_the_end_is_given_then() -> None:
    app, windows = app_of()
    windows.aggregate(n=ps.count()).sink(print, name="out")
    given = testing.run(app, {"rows": testing.ScriptedSource(ROWS)}).outputs["out"]
    begin = testing.clock.ManualClock().wall()
    assert [(row["k"], row["start"] - begin, row["n"]) for row in given] == [("a", 0, 2), ("b", 10, 1), ("a", 40, 1)]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"window": ps.session("5s")}, "session(5s) cannot be by processing time"),
        ({"lateness": "5s"}, "no row is late by processing time"),
        ({"early": "5s"}, "early is for event time"),
    ],
)
def test_what_has_no_meaning_by_the_clock_is_a_mistake(options: dict[str, Any], what: str) -> None:
    app, windows = app_of(**options)
    windows.aggregate(n=ps.count()).sink(print, name="out")
    assert any(what in str(one) for one in app.check()), app.check()


def test_no_row_is_late_by_the_clock() -> None:
    app, windows = app_of()
    windows.late.sink(print, name="late")
    assert any("leave .late out" in str(one) for one in app.check())
    with pytest.raises(TypeError, match="join\\(\\) takes windows by event time"):
        windows.join(app.source([{"k": "a"}], name="others"))
    with pytest.raises(TypeError, match=r"ps\.processing_time\(\); write the parentheses"):
        app.source([{"k": "a"}]).stage("n").key_by("k").window(ps.tumbling("1s"), time=ps.processing_time)  # type: ignore
    with pytest.raises(TypeError, match="with time=, the time of the rows"):
        app_of(disorder="1s")
