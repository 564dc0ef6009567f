"""`process`: state and timers for each key, the same whoever is killed; and what classes give at the end."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock import testing
from penstock.errors import PipelineInvalid

Click = tuple[str, float]
GAP_S = 10.0


def user_of(click: Click) -> str:
    return click[0]


def time_of(click: Click) -> float:
    return click[1]


class Visit(ps.KeyState):
    first = ps.ValueState[float | None](None)
    times = ps.ListState(float)
    seconds = ps.MapState(int, int)


class Visits:
    """A visit ends when nothing has come for a while; a timer tells it, or the next click, which may be taken first."""

    def __call__(self, click: Click, state: Visit) -> list[tuple[str, float, int, int]]:
        ended = list(self._end(state)) if state.times and click[1] > state.times[-1] + GAP_S else []
        if state.first is None:
            state.first = click[1]
        state.times.append(click[1])
        second = int(click[1])
        state.seconds[second] = state.seconds.get(second, 0) + 1
        for timer in state.timers():
            state.cancel_timer(timer)
        state.set_timer(click[1] + GAP_S)
        return ended

    def on_timer(self, state: Visit, time: float) -> Iterator[tuple[str, float, int, int]]:
        assert time == pytest.approx(state.times[-1] + GAP_S)
        return self._end(state)

    def _end(self, state: Visit) -> Iterator[tuple[str, float, int, int]]:
        yield state.key, state.times[-1], len(state.times), max(state.seconds.values())
        state.clear()


def expected_visits(clicks: list[Click]) -> list[tuple[str, float, int, int]]:
    by_user: dict[str, list[float]] = defaultdict(list)
    for user, time in clicks:
        by_user[user].append(time)
    visits = []
    for user, times in by_user.items():
        visit: list[float] = []
        for time in [*times, 1e9]:
            if visit and time > visit[-1] + GAP_S:
                seconds = Counter(map(int, visit))
                visits.append((user, visit[-1], len(visit), max(seconds.values())))
                visit = []
            visit.append(time)
    return sorted(visits)


def _visits_app(clicks: list[Click], name: str = "visits", **stage: Any) -> ps.Pipeline:
    app = ps.Pipeline(name)
    read = app.source(clicks or [("", 0.0)], name="clicks").event_time(time_of)
    read.stage("visits", **stage).key_by(user_of).process(Visits).sink(ps.discard(), name="out")
    return app


clicks_in_order = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0, 12).map(lambda step: round(step, 1))), max_size=40
).map(lambda steps: [(user, round(sum(step for _, step in steps[: at + 1]), 1)) for at, (user, _) in enumerate(steps)])


@given(clicks_in_order)
def test_visits_end_when_event_time_says_so(clicks: list[Click]) -> None:
    outcome = testing.run(_visits_app(clicks), {"clicks": clicks})
    assert sorted(outcome.outputs["out"]) == expected_visits(clicks)


@pytest.mark.parametrize("at", ["before_commit", "after_commit"])
@pytest.mark.parametrize("row", [1, 500, 850])
def test_timers_and_state_outlive_killed_workers(at: str, row: int) -> None:
    clicks = [(f"user{n % 37}", n * 0.7 + (60 if n % 500 > 400 else 0)) for n in range(2000)]
    clicks.sort(key=time_of)
    crashes = [testing.crash("visits", at=at, row=row)]
    outcome = testing.run(_visits_app(clicks, workers=2), {"clicks": clicks}, processes=True, crashes=crashes)
    assert sorted(outcome.outputs["out"]) == expected_visits(clicks)
    assert outcome.report.stages["visits"].restarts >= 1


def test_an_operator_is_called_as_any_other_object_in_a_test() -> None:
    visits, state = Visits(), testing.key_state(Visit, key="ann")
    visits(("ann", 100.0), state)
    visits(("ann", 103.0), state)
    assert state.timers() == [113.0]
    assert list(state.times) == [100.0, 103.0] and dict(state.seconds) == {100: 1, 103: 1}
    assert list(visits.on_timer(state, 113.0)) == [("ann", 103.0, 2, 1)]
    assert state.timers() == [] and state.first is None and len(state.times) == 0


class Kept(ps.KeyState):
    total = ps.ValueState(0)
    tags = ps.ValueState[list[str]]([])


class Totals:
    """Gives nothing until the input is through."""

    def __call__(self, click: Click, state: Kept) -> None:
        state.total += 1
        state.tags.append(str(click[1]))

    def on_end(self, state: Kept) -> Iterable[tuple[str, int, int]]:
        return [(state.key, state.total, len(state.tags)), (state.key, -1, 0)]


@pytest.mark.parametrize("processes", [False, True])
def test_totals_of_all_keys_are_given_once_at_the_end(processes: bool) -> None:
    rows = [(f"key{n % 50}", float(n)) for n in range(1000)]
    app = ps.Pipeline("totals")
    work = app.source(rows, name="rows").stage("work", workers=2).key_by(user_of).process(Totals)
    work.sink(ps.discard(), name="out")
    crashes = [testing.crash("work", at="after_commit", row=400)] if processes else []
    outcome = testing.run(app, {"rows": rows}, processes=processes, crashes=crashes)
    expected = [row for n in range(50) for row in ((f"key{n}", 20, 20), (f"key{n}", -1, 0))]
    assert Counter(outcome.outputs["out"]) == Counter(expected)


class Fails:
    """Its timers fail for some keys, having changed the state."""

    def __call__(self, click: Click, state: Kept) -> None:
        state.total = 1
        state.set_timer(click[1] + 1)

    def on_timer(self, state: Kept, time: float) -> list[str]:
        state.tags.append("timer")
        state.total += 1
        if state.key == "b":
            raise ValueError("not this one")
        return [f"{state.key} {time} {state.total}"]

    def on_end(self, state: Kept) -> list[str]:
        return [f"{state.key} {state.total} {state.tags}"]


def test_a_timer_that_fails_is_a_dead_letter_and_leaves_the_state_as_it_was() -> None:
    app = ps.Pipeline("failing")
    read = app.source([("a", 1.0)], name="rows").event_time(time_of)
    read.stage("work").key_by(user_of).process(Fails).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"rows": [("a", 1.0), ("b", 2.0), ("c", 3.0)]})
    assert sorted(outcome.outputs["out"]) == ["a 2 ['timer']", "a 2.0 2", "b 1 []", "c 2 ['timer']", "c 4.0 2"]
    (letter,) = outcome.dead_letters
    assert letter.row == "b" and "1970-01-01T00:00:03Z" in letter.error and "process(Fails)" in letter.operator


class Waits:
    def __call__(self, click: Click, state: Kept) -> None:
        state.total += 1
        state.set_wall_timer("5s")

    def on_wall_timer(self, state: Kept, time: float) -> list[tuple[str, int]]:
        return [(state.key, state.total)]


def test_timers_by_the_wall_clock_fire_when_it_is_time() -> None:
    app = ps.Pipeline("waiting")
    app.source([("a", 1.0)], name="rows").stage("work").key_by(user_of).process(Waits).sink(ps.discard(), name="out")
    script = [("a", 0.0), testing.Pause("3s"), ("a", 0.0), ("b", 0.0), testing.Pause("6s"), ("a", 0.0)]
    outcome = testing.run(app, {"rows": testing.ScriptedSource(script)})
    assert outcome.outputs["out"] == [("a", 2), ("b", 1)]  # what is set for after the end of the input never fires


# What classes of any verb give at the end.


class Counts:
    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, row: int) -> int:
        self.rows += 1
        return row

    def on_end(self) -> Iterator[int]:
        yield -self.rows
        yield 1000


class Even:
    def __call__(self, row: int) -> bool:
        return row % 2 == 0

    def on_end(self) -> None:
        """Gives nothing."""


def double(row: int) -> int:
    return 2 * row


@pytest.mark.parametrize("processes", [False, True])
def test_a_class_gives_rows_at_the_end_to_what_is_behind_it(processes: bool) -> None:
    app = ps.Pipeline("ends")
    app.source([1], name="rows").stage("work").map(Counts).filter(Even).map(double).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"rows": range(5)}, processes=processes)
    assert outcome.outputs["out"] == [0, 4, 8, 2000]
    app = ps.Pipeline("ends")
    app.source([1], name="rows").map(Counts()).map(double).sink(ps.discard(), name="out")
    assert testing.run(app, {"rows": range(3)}, processes=processes).outputs["out"] == [0, 2, 4, -6, 2000]


# Dedupe and top.


def expected_first(clicks: list[Click], within: float) -> list[Click]:
    passed: dict[str, float] = {}
    rows = []
    for user, time in clicks:
        if user not in passed or round((time - passed[user]) * 1e6) >= within * 1e6:
            passed[user] = time
            rows.append((user, time))
    return rows


@given(clicks_in_order)
def test_dedupe_passes_the_first_row_of_a_key_within_a_time(clicks: list[Click]) -> None:
    app = ps.Pipeline("firsts")
    read = app.source(clicks or [("", 0.0)], name="clicks").event_time(time_of)
    read.stage("once").key_by(user_of).dedupe(within="20s").sink(ps.discard(), name="out")
    assert testing.run(app, {"clicks": clicks}).outputs["out"] == expected_first(clicks, 20)


def test_dedupe_without_event_times_goes_by_the_wall_clock() -> None:
    for within, expected in (("10s", [1, 2, 4]), (None, [1, 2])):
        app = ps.Pipeline("firsts")
        work = app.source([("a", 1)], name="rows").stage("once").key_by(user_of).dedupe(within=within)
        work.sink(ps.discard(), name="out")
        script = [("a", 1), ("b", 2), testing.Pause("5s"), ("a", 3), testing.Pause("6s"), ("a", 4)]
        outcome = testing.run(app, {"rows": testing.ScriptedSource(script)})
        assert [row[1] for row in outcome.outputs["out"]] == expected


def expected_top(rows: list[Click], most: int) -> list[list[Click]]:
    best: dict[str, list[Click]] = defaultdict(list)
    given_out = []
    for row in rows:
        mine = sorted([*best[row[0]], row], key=lambda one: -one[1])[:most]
        if mine != best[row[0]]:
            best[row[0]] = mine
            given_out.append(mine)
    return given_out


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 9).map(round)), max_size=30), st.integers(1, 3))
def test_top_gives_the_best_rows_whenever_they_change(rows: list[Any], most: int) -> None:
    rows = [(*row, number) for number, row in enumerate(rows)]
    app = ps.Pipeline("best")
    work = app.source(rows or [("", 0.0, 0)], name="rows").stage("best").key_by(user_of).top(most, by=time_of)
    work.sink(ps.discard(), name="out")
    assert testing.run(app, {"rows": rows}).outputs["out"] == expected_top(rows, most)


def test_a_row_that_cannot_be_ranked_is_set_aside_and_keeps_none_out() -> None:
    app = ps.Pipeline("best")
    work = app.source([("", 0.0, 0)], name="rows").stage("best").key_by(user_of).top(2, by=time_of)
    work.sink(ps.discard(), name="out")
    rows = [("a", 1.0, 0), ("a", float("nan"), 1), ("a", 5.0, 2), ("a", 7.0, 3)]
    outcome = testing.run(app, {"rows": rows})
    assert outcome.outputs["out"][-1] == [("a", 7.0, 3), ("a", 5.0, 2)]
    assert ["filter such rows out before top" in letter.error for letter in outcome.dead_letters] == [True]


class Nothing(ps.KeyState):
    """Declares nothing."""


def nothing(row: Click, state: Nothing) -> list[int]:
    return []


def _mistakes(fn: Any) -> str:
    app = ps.Pipeline("wrong")
    app.source([("a", 1.0)]).stage("work").key_by(user_of).process(fn).sink(ps.discard())
    with pytest.raises(PipelineInvalid) as raised:
        app.plan()
    return str(raised.value)


def test_what_is_wrong_with_an_operator_is_told_before_anything_runs() -> None:
    def unsaid(row, state):  # type: ignore[no-untyped-def]
        return []

    def number(row: Click, state: int) -> list[int]:
        return []

    assert "process(unsaid): the state that it takes is not annotated" in _mistakes(unsaid)
    assert "process(number): the state that it takes is annotated int" in _mistakes(number)
    assert "process(nothing): Nothing declares nothing that is kept" in _mistakes(nothing)
    assert "process(Visits) has on_timer, but its rows have no event time" in _mistakes(Visits)


class Items(ps.KeyState):
    values = ps.ListState(int)
    counts = ps.MapState(str, int)


def test_only_what_is_declared_can_be_assigned_to() -> None:
    """An attribute of the object would be the same for all keys, and die with its worker."""
    state = testing.key_state(Kept)
    with pytest.raises(AttributeError, match="seen"):
        state.seen = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"Kept declares no 'seen'; declare it: seen = ps.ValueState\("):
        state.seen  # type: ignore[attr-defined]  # noqa: B018
    state.total = 3
    assert state.total == 3


def test_a_list_of_state_compares_as_a_list_and_says_what_it_can_do() -> None:
    state = testing.key_state(Items)
    assert state.values == [] and repr(state.values) == "[]"
    state.values += [1, 2, 3]
    assert state.values == [1, 2, 3] and state.values != [1] and state.values != (1, 2, 3)
    assert repr(state.values) == "[1, 2, 3]" and not hasattr(state.values, "__array__")
    values: Any = state.values
    with pytest.raises(AttributeError, match=r"no 'pop'; it has append, extend, remove_first\(count\) and clear"):
        values.pop(0)
    with pytest.raises(TypeError, match=r"cannot be deleted; it has append, extend, remove_first\(count\)"):
        del values[0]
    with pytest.raises(TypeError, match=r"cannot be replaced; it has append"):
        values[0] = 4
    with pytest.raises(TypeError, match=r"values is a list of state, which is not assigned to; it has append"):
        state.values = [4]  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"write state.counts.clear\(\) and state.counts.update"):
        state.counts = {"a": 1}  # type: ignore[assignment]
    assert state.values == [1, 2, 3]


def test_a_list_or_map_of_state_does_not_become_a_row() -> None:
    """It would be encoded later than it was given, with what it has by then."""
    state = testing.key_state(Items)
    for given_away, write in ((state.values, "list"), (state.counts, "dict")):
        with pytest.raises(TypeError, match=rf"stays with its key and changes with it; give {write}\(\.\.\.\)"):
            pickle.dumps((1, given_away))


def test_a_timer_that_nobody_hears_of_is_an_error() -> None:
    class Deaf:
        def __call__(self, click: Click, state: Items) -> None:
            if click[0] == "wall":
                state.set_wall_timer("1s")
            else:
                state.set_timer(click[1])

    app = ps.Pipeline("deaf")
    policy = ps.dead_letter(give_up_after=None)
    hears = app.source([("", 0.0)], name="clicks").stage("hear", on_error=policy).key_by(user_of)
    hears.process(Deaf).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"clicks": [("wall", 1.0), ("event", 1.0)]})
    errors = sorted(letter.error for letter in outcome.dead_letters)
    assert len(errors) == 2
    assert "give the class on_timer(self, state, time)" in errors[0]
    assert "give the class on_wall_timer(self, state, time)" in errors[1]
