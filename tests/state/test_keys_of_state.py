"""Which keys state can be kept for, and what is said where a stream has none, or where a window is wrong."""

from __future__ import annotations

from typing import Any

import pytest

import penstock as ps
from penstock import testing
from penstock.channel.keys import key_bytes

Row = tuple[str, float]


def key_of(row: Row) -> str:
    return row[0]


def time_of(row: Row) -> float:
    return row[1]


def count(n: int, row: Row) -> tuple[int, tuple[str, int]]:
    return n + 1, (row[0], n + 1)


@pytest.mark.parametrize("processes", [False, True])
def test_half_of_a_surrogate_pair_may_be_in_a_key(processes: bool) -> None:
    app = ps.Pipeline("names")
    app.source([("a", 1.0)], name="rows").stage("count", workers=2).key_by(key_of).scan(0, count).sink(
        ps.discard(), name="out"
    )
    rows = [("\udce9t\udce9", 1.0), ("b", 2.0), ("\udce9t\udce9", 3.0)]
    outcome = testing.run(app, {"rows": rows}, processes=processes)
    assert sorted(outcome.outputs["out"]) == sorted([("\udce9t\udce9", 1), ("b", 1), ("\udce9t\udce9", 2)])
    assert not outcome.dead_letters


def test_keys_with_halves_of_surrogate_pairs_are_told_apart_wherever_they_stand() -> None:
    keys: list[Any] = ["\udce9", "\udcea", ("\udce9",), ("a", "\udce9"), "a", ("a", "a"), frozenset({"\udce9"})]
    assert len({key_bytes(key) for key in keys}) == len(keys)


def test_a_verb_that_keeps_state_says_what_to_write_where_there_is_no_key() -> None:
    rows: Any = ps.Pipeline("keyless").source([("a", 1.0)])
    with pytest.raises(AttributeError, match=r'have none; write \.key_by\("field"\)\.scan\(\.\.\.\)'):
        rows.scan(0, count)
    with pytest.raises(AttributeError, match=r"window\(\) keeps something for each key"):
        rows.window(ps.tumbling("1s"))
    with pytest.raises(AttributeError, match=r"broadcast\(\) in .*test_keys_of_state\.py:\d+ sends every row to every"):
        rows.stage("work").broadcast().dedupe(within=None)
    with pytest.raises(AttributeError, match="has no attribute 'scam'"):
        rows.scam()
    assert not hasattr(rows, "scam")


def test_what_is_wrong_with_a_window_is_said_once_however_many_verbs_follow_it() -> None:
    app = ps.Pipeline("windows")
    work = app.source([("a", 1.0)]).event_time(time_of).stage("work").key_by(key_of)
    window = work.window(ps.tumbling("0s"))
    window.aggregate(n=ps.count()).sink(ps.discard(), name="counts")
    window.late.sink(ps.discard(), name="late")
    work.window(ps.tumbling("0s")).collect().sink(ps.discard(), name="another window")
    assert [mistake.what for mistake in app.check() if "no time at all" in mistake.what] == [
        "window(tumbling(0s)).aggregate(n=count()): size: '0s' is no time at all",
        "window(tumbling(0s)).collect(the row): size: '0s' is no time at all",
    ]
