"""What becomes of rows whose processing raises, in real runs."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.testing import ListSink

HERE = Path(__file__).name


def _pipeline(fn: Callable[..., Any], rows: Any = range(10), **stage: Any) -> tuple[ps.Pipeline, ListSink[Any]]:
    app, out = ps.Pipeline("rows"), ListSink[Any]()
    app.source(rows, name="numbers").stage("work", **stage).map(fn).sink(out, name="out")
    return app, out


def _fail_on_three(x: int) -> int:
    if x == 3:
        raise ValueError("three is not welcome")
    return x


def test_a_row_that_raises_is_kept_with_all_that_is_known_and_the_others_are_processed(where: Any) -> None:
    app, out = _pipeline(_fail_on_three)
    report = app.run(**where)
    assert out.rows == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert (report.outcome, report.dead_letters, report.stages["work"].dead_letters) == ("finished", 1, 1)
    [letter] = ps.read_dead_letters("rows", state_dir=where["state_dir"])
    assert (letter.pipeline, letter.stage, letter.slot, letter.attempts, letter.row) == ("rows", "work", 0, 1, 3)
    assert letter.error == "ValueError: three is not welcome"
    assert letter.operator.startswith("map(_fail_on_three) ") and f"{HERE}:" in letter.operator
    first, second, *_ = letter.traceback.splitlines()
    assert first == "Traceback (most recent call last):"
    assert HERE in second and second.endswith("in _fail_on_three")


def test_skipped_rows_are_counted_and_not_kept(where: Any) -> None:
    app, out = _pipeline(_fail_on_three, on_error=ps.skip())
    report = app.run(**where)
    assert len(out.rows) == 9
    assert report.stages["work"].skipped == 1
    assert list(ps.read_dead_letters("rows", state_dir=where["state_dir"])) == []


class Mendable:
    """Fails on a row while the file that says so is there."""

    def __init__(self, broken: Path) -> None:
        self.broken = broken

    def __call__(self, x: int) -> int:
        if x == 700 and self.broken.exists():
            raise ValueError("broken code")
        return x


def test_a_failed_run_resumes_exactly_where_it_stopped_once_the_code_is_fixed(where: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    app, out = _pipeline(Mendable(broken), range(2000), on_error=ps.fail())
    with pytest.raises(ps.PipelineFailed) as caught:
        app.run(**where)
    failed = caught.value
    assert failed.stage == "work"
    assert "ValueError: broken code; the row was 700" in failed.reason
    assert HERE in failed.reason
    assert HERE in failed.traceback.splitlines()[1]
    assert failed.report.outcome == "failed"
    assert 700 not in out.rows
    broken.unlink()
    report = app.run(**where)
    assert out.rows == list(range(2000))
    assert report.stages["work"].rows_in == 2000


class FailsUntil:
    """Fails the first attempts of one row; tells the attempts on each result."""

    def __init__(self, row: int, attempts: int, error: Exception) -> None:
        self.row, self.attempts, self.error = row, attempts, error
        self.made = 0

    def __call__(self, x: int) -> tuple[int, int]:
        if x != self.row:
            return x, 1
        self.made += 1
        if self.made < self.attempts:
            raise self.error
        return x, self.made


def test_a_row_is_retried_while_others_are_processed(where: Any) -> None:
    app, out = _pipeline(FailsUntil(3, 3, OSError("busy")), retries=2, retry_delay="10ms")
    report = app.run(**where)
    assert sorted(out.rows) == [(x, 3 if x == 3 else 1) for x in range(10)]
    assert out.rows[-1] == (3, 3)
    assert (report.stages["work"].retries, report.dead_letters) == (2, 0)


def test_the_attempts_of_a_row_that_never_succeeds_are_told(where: Any) -> None:
    app, out = _pipeline(_fail_on_three, retries=2, retry_delay="1ms")
    app.run(**where)
    assert [letter.attempts for letter in ps.read_dead_letters("rows", state_dir=where["state_dir"])] == [3]
    assert len(out.rows) == 9


def test_errors_that_retry_on_does_not_name_are_not_retried(where: Any) -> None:
    app, _ = _pipeline(_fail_on_three, retries=5, retry_on=(OSError, TimeoutError))
    report = app.run(**where)
    assert report.stages["work"].retries == 0
    assert [letter.attempts for letter in ps.read_dead_letters("rows", state_dir=where["state_dir"])] == [1]


def test_verdicts_decide_about_the_row_in_work(where: Any) -> None:
    class Judge:
        asked = False

        def __call__(self, x: int) -> int:
            if x == 1:
                raise ps.Drop("bot")
            if x == 2:
                raise ps.Reject("no such user")
            if x == 3 and not self.asked:
                self.asked = True
                raise ps.Retry("429", after="1ms")
            return x

    app, out = _pipeline(Judge, range(5), retries=4)
    report = app.run(**where)
    assert sorted(out.rows) == [0, 3, 4]
    work = report.stages["work"]
    assert (work.skipped, work.dead_letters, work.retries) == (1, 1, 1)
    [letter] = ps.read_dead_letters("rows", state_dir=where["state_dir"])
    assert (letter.row, letter.attempts) == (2, 1)
    assert "no such user" in letter.error


def test_order_is_kept_over_workers_through_filters_flat_maps_and_retries(where: Any) -> None:
    class Unsteady:
        def __init__(self) -> None:
            self.failed: set[int] = set()

        def __call__(self, x: int) -> int:
            if x % 50 == 7 and x not in self.failed:
                self.failed.add(x)
                raise OSError("once")
            if x % 100 == 13:
                raise ValueError("never")
            return x

    app, out = ps.Pipeline("ordered"), ListSink[int]()
    stream = app.source(range(5000), name="numbers").stage(
        "work", workers=3, ordered=True, retries=1, retry_delay="1ms", retry_on=OSError, edge=ps.Edge(batch_rows=64)
    )
    stream.map(Unsteady).filter(lambda x: x % 3 != 0).flat_map(lambda x: [x] * (x % 3)).sink(out, name="out")
    report = app.run(**where)
    assert out.rows == [x for x in range(5000) if x % 100 != 13 for _ in range(x % 3)]
    assert report.stages["work"].dead_letters == 50


def test_a_stage_in_which_no_row_ever_succeeds_gives_up(where: Any) -> None:
    def wrong(x: int) -> int:
        raise KeyError("usr")

    app, _ = _pipeline(wrong, range(1000), on_error=ps.dead_letter(give_up_after=20))
    with pytest.raises(ps.PipelineFailed, match=r"no row has ever succeeded and .* code is probably wrong") as caught:
        app.run(**where)
    assert "KeyError: 'usr'" in caught.value.reason


def test_a_stage_in_which_no_row_ever_succeeded_fails_at_the_end_of_its_input(where: Any) -> None:
    def wrong(x: int) -> int:
        raise KeyError("usr")

    app, _ = _pipeline(wrong, range(5))
    with pytest.raises(ps.PipelineFailed, match="the code is probably wrong, not the data"):
        app.run(**where)


def test_without_a_limit_every_row_may_fail(where: Any) -> None:
    def wrong(x: int) -> int:
        raise KeyError("usr")

    app, _ = _pipeline(wrong, range(200), on_error=ps.dead_letter(give_up_after=None))
    assert app.run(**where).dead_letters == 200


def test_a_result_that_cannot_be_pickled_is_the_fault_of_its_row(where: Any) -> None:
    app, out = _pipeline(lambda x: (y for y in ()) if x == 3 else x)
    report = app.run(**where)
    assert out.rows == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    [letter] = ps.read_dead_letters("rows", state_dir=where["state_dir"])
    assert letter.row == 3 and "generator" in letter.error
    assert report.stages["work"].restarts <= 1


def _halves(x: int) -> Iterator[int]:
    yield x
    if x == 3:
        raise ValueError("half-way")
    yield -x


def test_a_flat_map_that_raises_half_way_leaves_nothing(where: Any) -> None:
    app, out = ps.Pipeline("rows"), ListSink[int]()
    app.source([1, 3, 5], name="numbers").flat_map(_halves).sink(out, name="out")
    app.run(**where)
    assert out.rows == [1, -1, 5, -5]


def test_a_flat_map_that_gives_text_is_told_to_give_a_list(where: Any) -> None:
    app, out = ps.Pipeline("rows"), ListSink[Any]()
    app.source([1, 2], name="numbers").flat_map(lambda x: "text" if x == 1 else [x]).sink(out, name="out")
    app.run(**where)
    assert out.rows == [2]
    [letter] = ps.read_dead_letters("rows", state_dir=where["state_dir"])
    assert "a flat_map function returned str" in letter.error and "[text]" in letter.error


def test_a_key_function_that_raises_names_the_stage_of_the_key(where: Any) -> None:
    app, out = ps.Pipeline("rows"), ListSink[Any]()
    keyed = app.source([{"user": "ann"}, {"x": 1}], name="rows").stage("by_user", workers=2)
    keyed.key_by(lambda row: row["user"]).map(lambda row: row["user"]).sink(out, name="out")
    app.run(**where)
    assert out.rows == ["ann"]
    [letter] = ps.read_dead_letters("rows", state_dir=where["state_dir"])
    assert letter.stage == "by_user" and letter.row == {"x": 1} and letter.error == "KeyError: 'user'"


def _leave(x: int) -> int:
    if x == 3:
        sys.exit("bye")
    return x


def _panic(x: int) -> int:
    if x == 3:
        raise BaseException("a panic of a library")
    return x


async def _cancelled(x: int) -> int:
    if x == 3:
        raise asyncio.CancelledError
    return x


@pytest.mark.parametrize(
    ("fn", "error"),
    [
        (_leave, "SystemExit: bye"),
        (_panic, "BaseException: a panic of a library"),
        (_cancelled, "asyncio.exceptions.CancelledError"),
    ],
    ids=["exit", "panic", "cancelled"],
)
def test_whatever_a_user_function_raises_is_an_error_of_its_row(fn: Any, error: str, where: Any) -> None:
    app, out = _pipeline(fn)
    report = app.run(**where)
    assert out.rows == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert report.stages["work"].restarts == 0
    [letter] = ps.read_dead_letters("rows", state_dir=where["state_dir"])
    assert letter.error == error
    assert HERE in letter.traceback


class Awkward(Exception):
    def __init__(self, what: str, more: str) -> None:
        super().__init__(what)
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_errors_that_can_neither_be_shown_nor_pickled_are_kept_nevertheless(where: Any) -> None:
    def awkward(x: int) -> int:
        if x == 3:
            raise Awkward("a", "b")
        if x == 4:
            raise ValueError("\ud800")
        return x

    app, out = _pipeline(awkward)
    app.run(**where)
    assert len(out.rows) == 8
    letters = list(ps.read_dead_letters("rows", state_dir=where["state_dir"]))
    assert [letter.row for letter in letters] == [3, 4]
    assert "Awkward" in letters[0].error and "ValueError" in letters[1].error
