"""Windows in whole pipelines, run in memory: results, late rows, errors of user code, mistakes, plans."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

import penstock as ps
from penstock import testing


class Click(msgspec.Struct):
    user: str
    ts: float
    ms: float
    page: str | None = None


class Visit(msgspec.Struct):
    user: str
    start: float
    end: float
    clicks: int
    slow: float


class Moment(NamedTuple):
    key: str
    start: datetime
    n: int


class Longest(msgspec.Struct):
    """An aggregation of the user's own, which fails for some windows."""

    ms: float = 0.0

    def add(self, row: Click) -> None:
        self.ms = max(self.ms, row.ms)

    def merge(self, other: Longest) -> None:
        self.ms = max(self.ms, other.ms)

    def result(self) -> float:
        if self.ms == 13.0:
            raise ValueError("unlucky")
        return self.ms


def clicks(count: int, seed: int = 1) -> list[Click]:
    rng = random.Random(seed)
    return [Click(rng.choice("abc"), at + rng.random() * 4, float(rng.randint(1, 99))) for at in range(count)]


def run(rows: list[Any], build: Callable[[ps.KeyedStream[Any, Any]], Any], workers: int = 2) -> testing.Outcome:
    app = ps.Pipeline("windows")
    made = build(app.source(rows, name="rows").stage("work", workers=workers).key_by("user"))
    for name, stream in made.items():
        stream.sink(print, name=name)
    return testing.run(app, {"rows": rows})


def test_results_are_of_the_class_that_was_named() -> None:
    rows = clicks(200)
    outcome = run(rows, lambda keyed: {"out": keyed.window(
        ps.tumbling("10s"), time="ts", disorder="5s"
    ).aggregate(Visit, clicks=ps.count(), slow=ps.max("ms"))})
    expected: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        expected.setdefault((row.user, row.ts // 10 * 10), []).append(row.ms)
    found = sorted(outcome.outputs["out"], key=lambda visit: (visit.user, visit.start))
    assert found == [Visit(k, s, s + 10, len(ms), max(ms)) for (k, s), ms in sorted(expected.items())]


def test_a_result_is_a_dict_where_no_class_is_named_and_bounds_are_as_the_rows_have_their_times() -> None:
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    rows = [Event("a", begin + timedelta(seconds=at)) for at in (0, 1, 12)]
    app = ps.Pipeline("windows")
    stream = app.source(rows, name="rows").stage("type").map(_same).event_time("at")
    events = stream.stage("work").key_by(lambda row: row.user)
    events.window(ps.tumbling("10s")).aggregate(n=ps.count()).sink(print, name="out")
    events.window(ps.tumbling("10s")).aggregate(Moment, n=ps.count()).sink(print, name="moments")
    outcome = testing.run(app, {"rows": rows})
    assert sorted(outcome.outputs["moments"]) == [
        Moment("a", begin, 2), Moment("a", begin + timedelta(seconds=10), 1)
    ]
    assert {(row["key"], row["n"]) for row in outcome.outputs["out"]} == {("a", 2), ("a", 1)}


class Event(msgspec.Struct):
    user: str
    at: datetime


def _same(row: Event) -> Event:
    return row


def test_late_rows_are_given_and_counted_and_no_window_has_them() -> None:
    rows = [*clicks(50), Click("a", 3.0, 1.0), Click("b", 46.0, 2.0), *clicks(1)]

    def build(keyed: ps.KeyedStream[Any, Any]) -> dict[str, Any]:
        windows = keyed.window(ps.tumbling("10s"), time="ts", disorder="4s")
        return {"out": windows.aggregate(n=ps.count()), "late": windows.late}

    outcome = run(rows, build, workers=1)
    late = outcome.outputs["late"]
    # One frame may carry all rows; what is late is judged by the watermark in front of it.
    assert sum(row["n"] for row in outcome.outputs["out"]) + len(late) == len(rows)


def test_who_only_looks_at_late_has_asked_for_nothing() -> None:
    app = ps.Pipeline("windows")
    windows = app.source(clicks(3), name="rows").stage("w").key_by("user").window(ps.session("3s"), time="ts")
    assert windows.late is windows.late
    windows.aggregate(n=ps.count()).sink(print, name="out")
    assert app.check() == ()


def test_fold_collect_and_top_give_a_key_its_bounds_and_their_values() -> None:
    rows = clicks(60)

    def build(keyed: ps.KeyedStream[Any, Any]) -> dict[str, Any]:
        timed = keyed.event_time("ts", disorder="5s")
        windows = timed.window(ps.tumbling("20s"))
        return {
            "fold": windows.fold(0.0, lambda total, row: total + row.ms), "all": windows.collect(),
            "top": windows.top(2, by="ms"),
            "merged": timed.window(ps.session("3s")).fold([], _with, merge=lambda one, other: one + other),
        }

    outputs = run(rows, build).outputs
    collected = {(one.key, one.start): one.value for one in outputs["all"]}
    assert sum(map(len, collected.values())) == len(rows)
    assert {(one.key, one.start): one.value for one in outputs["fold"]} == {
        place: sum(row.ms for row in there) for place, there in collected.items()
    }
    for (key, start), there in collected.items():
        best = [one.row for one in outputs["top"] if (one.key, one.start) == (key, start)]
        assert [row.ms for row in best] == sorted((row.ms for row in there), reverse=True)[:2]
    assert {one.rank for one in outputs["top"]} <= {1, 2}
    assert sorted(ms for one in outputs["merged"] for ms in one.value) == sorted(row.ms for row in rows)


def _with(values: list[float], row: Click) -> list[float]:
    values.append(row.ms)
    return values


def test_what_a_result_of_the_users_own_raises_is_a_dead_letter_that_names_the_key() -> None:
    rows = [Click("a", 1.0, 13.0), Click("b", 1.0, 5.0), Click("a", 11.0, 6.0)]
    outcome = run(rows, lambda keyed: {"out": keyed.window(ps.tumbling("10s"), time="ts").aggregate(most=Longest)})
    assert sorted((row["user"], row["most"]) for row in outcome.outputs["out"]) == [("a", 6.0), ("b", 5.0)]
    [letter] = outcome.dead_letters
    assert "unlucky" in letter.error and "aggregate(most=Longest)" in letter.operator and letter.row == "a"


def test_a_row_that_an_aggregation_cannot_take_is_a_dead_letter_and_counts_nowhere() -> None:
    rows: list[Any] = [{"user": "a", "ts": at, "ms": ms} for at, ms in ((1, 2), (2, "two"), (3, 4))]
    outcome = run(rows, lambda keyed: {"out": keyed.window(ps.tumbling("10s"), time="ts").aggregate(
        n=ps.count(), ms=ps.sum("ms"), kinds=ps.count_distinct("ms"),
    )})
    assert [(row["n"], row["ms"], row["kinds"]) for row in outcome.outputs["out"]] == [(2, 6, 2)]
    assert len(outcome.dead_letters) == 1


def test_an_operator_beside_a_window_that_fails_takes_the_row_out_of_it() -> None:
    rows = clicks(40)

    def build(keyed: ps.KeyedStream[Any, Any]) -> dict[str, Any]:
        timed = keyed.event_time("ts", disorder="5s")
        return {
            "out": timed.window(ps.tumbling("10s")).aggregate(n=ps.count()),
            "sessions": timed.window(ps.session("3s")).aggregate(n=ps.count()),
            "beside": timed.map(_small),
        }

    outcome = run(rows, build)
    small = [row for row in rows if row.ms < 50]
    assert len(outcome.outputs["beside"]) == len(small) == len(rows) - len(outcome.dead_letters)
    assert sum(row["n"] for row in outcome.outputs["out"]) == len(small)
    assert sum(row["n"] for row in outcome.outputs["sessions"]) == len(small)


def _small(row: Click) -> Click:
    if row.ms >= 50:
        raise ValueError("too slow")
    return row


def keyed_clicks() -> tuple[ps.Pipeline, ps.KeyedStream[Any, Click]]:
    app = ps.Pipeline("windows")
    return app, app.source(clicks(3), name="rows").stage("parse").map(_click).stage("w").key_by("user")


def _click(row: Any) -> Click:
    return row  # type: ignore[no-any-return]


class NoMoment(msgspec.Struct):
    user: str
    start: int
    n: str


class Wrong(msgspec.Struct):
    who: str
    n: int


WINDOW = ps.tumbling("10s")
MISTAKES: dict[str, tuple[Callable[[ps.KeyedStream[Any, Click]], ps.Stream[Any]], str]] = {
    "no time": (lambda k: k.window(WINDOW).aggregate(n=ps.count()), "the rows have no event time"),
    "no such field": (
        lambda k: k.window(WINDOW, time="ts").aggregate(n=ps.sum("mss")), "Click has no field 'mss'; did you mean 'ms'?"
    ),
    "no number": (
        lambda k: k.window(WINDOW, time="ts").aggregate(n=ps.sum("user")), "computed of numbers, but the values are str"
    ),
    "no place": (
        lambda k: k.window(WINDOW, time="ts").aggregate(Visit, n=ps.count()), "Visit has no field 'n'"
    ),
    "nothing gives": (
        lambda k: k.window(WINDOW, time="ts").aggregate(Visit, clicks=ps.count()), "nothing gives field 'slow' of Visit"
    ),
    "key by another name": (
        lambda k: k.window(WINDOW, time="ts").aggregate(Wrong, n=ps.count()), "call it 'user' if it is the key"
    ),
    "another type": (
        lambda k: k.window(WINDOW, time="ts").aggregate(NoMoment, n=ps.count()), "is str, but is given int"
    ),
    "between": (
        lambda k: k.window(ps.tumbling("500ms"), time="ts").aggregate(NoMoment, n=ps.first("user")),
        "bounds of windows lie between whole ones",
    ),
    "reserved": (
        lambda k: k.window(WINDOW, time="ts").aggregate(user=ps.count()), "'user' is what the window's key"
    ),
    "gaps": (lambda k: k.window(ps.sliding("1s", every="2s"), time="ts").aggregate(n=ps.count()), "leave out the rows"),
    "no merge": (
        lambda k: k.window(ps.session("1s"), time="ts").fold(0, lambda n, row: n), "nothing that merges two values"
    ),
    "lateness": (
        lambda k: k.window(ps.count_window(3), lateness="1s").aggregate(n=ps.count()), "lateness without effect"
    ),
    "of another row": (
        lambda k: k.event_time("ts").map(_word).stage("again").key_by(str).window(WINDOW).aggregate(n=ps.count()),
        "has no field 'ts'",
    ),
}


class Word(msgspec.Struct):
    word: str


def _word(row: Click) -> Word:
    return Word(row.user)


@pytest.mark.parametrize("which", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_to_write(which: str) -> None:
    app, keyed = keyed_clicks()
    build, what = MISTAKES[which]
    build(keyed).sink(print, name="out")
    found = [str(mistake) for mistake in app.check()]
    assert any(what in one for one in found), found
    assert all("test_windows.py" in one for one in found)


def test_what_is_no_aggregation_is_refused_at_once() -> None:
    _, keyed = keyed_clicks()
    windows = keyed.window(WINDOW, time="ts")
    with pytest.raises(TypeError, match=r"write n=ps.count\(...\)"):
        windows.aggregate(n=ps.count)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at least one column"):
        windows.aggregate()
    with pytest.raises(TypeError, match="takes a window such as"):
        keyed.window("10s")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="with time="):
        keyed.window(WINDOW, disorder="5s")


def test_a_plan_shows_windows_and_what_they_compute() -> None:
    app, keyed = keyed_clicks()
    windows = keyed.window(ps.sliding("1m", every="10s"), time="ts")
    windows.aggregate(n=ps.count(), slow=ps.quantile("ms", 0.9)).sink(print, name="out")
    windows.top(3, by="ms").sink(print, name="top")
    text = app.plan().to_text()
    # What is too long for a line is continued in the next.
    for part in ("window(sliding(1m,", "every=10s)).aggregate(", "n=count(),", "slow=quantile('ms', 0.9))"):
        assert part in text
    assert "window(sliding(1m, every=10s)).top_k(3, the row, 'ms')" in text
