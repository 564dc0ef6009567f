"""Code that is wrong for every row: its error is shown, nothing is lost, and fixed code does all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.source import Reader, Source
from penstock.testing import ListSink

HERE = Path(__file__).name


class Buggy:
    """Wrong while a file says so; `good`: a row that succeeds all the same."""

    def __init__(self, bug: Path, good: Any = None) -> None:
        self.bug, self.good = bug, good

    def __call__(self, word: str) -> str:
        if self.bug.exists() and word != self.good:
            return word.uper()  # type: ignore[attr-defined,no-any-return]
        return word.upper()


def _app(bug: Path, words: Any = ("a", "b", "c"), good: Any = None, **stage: Any) -> tuple[ps.Pipeline, ListSink[str]]:
    app, out = ps.Pipeline("wrong"), ListSink[str]()
    app.source(list(words), name="words").stage("work", **stage).map(Buggy(bug, good)).sink(out, name="out")
    return app, out


@pytest.fixture
def bug(tmp_path: Path) -> Path:
    path = tmp_path / "bug"
    path.touch()
    return path


def _letters(where: Any) -> list[ps.DeadLetter]:
    return list(ps.read_dead_letters("wrong", state_dir=where["state_dir"]))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_error_is_shown_and_the_fixed_program_does_every_row(bug: Path, workers: int, where: Any) -> None:
    words = [f"w{n}" for n in range(20)]
    app, out = _app(bug, words, workers=workers, edge=ps.Edge(batch_rows=4))
    with pytest.raises(ps.PipelineFailed) as failed:
        app.run(**where)
    assert "AttributeError: 'str' object has no attribute 'uper'" in failed.value.reason
    assert "return word.uper()" in str(failed.value) and HERE in failed.value.traceback
    assert _letters(where) == [] and out.rows == []
    bug.unlink()
    report = app.run(**where)
    assert sorted(out.rows) == sorted(word.upper() for word in words)
    assert (report.outcome, report.dead_letters, report.stages["work"].retries) == ("finished", 0, 0)
    assert _letters(where) == []


def test_a_program_that_is_still_wrong_is_judged_again_and_loses_nothing_either(bug: Path, where: Any) -> None:
    words = [f"w{n}" for n in range(60)]
    app, out = _app(bug, words, on_error=ps.dead_letter(give_up_after=50))
    for _ in range(3):
        with pytest.raises(ps.PipelineFailed, match="uper"):
            app.run(**where)
    bug.unlink()
    app.run(**where)
    assert sorted(out.rows) == sorted(word.upper() for word in words)


def test_rows_that_failed_before_the_first_success_are_letters_once_there_is_one(bug: Path, where: Any) -> None:
    app, out = _app(bug, "abcdefg", good="f")
    report = app.run(**where)
    assert out.rows == ["F"]
    assert report.dead_letters == 6
    letters = _letters(where)
    assert [letter.row for letter in letters] == list("abcdeg")
    assert all("uper" in letter.error and HERE in letter.traceback for letter in letters)
    assert [letter.time_s for letter in letters] == sorted(letter.time_s for letter in letters)


def test_a_success_in_another_slot_speaks_for_the_code(bug: Path, where: Any) -> None:
    words = [f"w{n}" for n in range(19)] + ["good"]
    app, out = _app(bug, words, good="good", workers=4, edge=ps.Edge(batch_rows=1))
    assert app.run(**where).dead_letters == 19
    assert out.rows == ["GOOD"]
    assert sorted(letter.row for letter in _letters(where)) == sorted(words[:-1])


def test_an_ordered_stage_shows_its_error_too(bug: Path, where: Any) -> None:
    app, _ = _app(bug, workers=2, ordered=True)
    with pytest.raises(ps.PipelineFailed, match="uper"):
        app.run(**where)


def test_large_rows_do_not_hold_up_the_stage_that_is_on_trial(bug: Path, where: Any) -> None:
    words = ["x" * 500_000 + str(n) for n in range(30)]
    app, out = _app(bug, [*words, "good"], good="good")
    assert app.run(**where).dead_letters == 30
    assert out.rows == ["GOOD"]
    assert sorted(letter.row for letter in _letters(where)) == sorted(words)


def test_drained_before_any_success_what_failed_is_set_aside(bug: Path, where: Any) -> None:
    app, out = ps.Pipeline("wrong"), ListSink[str]()
    app.source(_Endless(), name="words").stage("work").map(Buggy(bug)).sink(out, name="out")
    with app.start(**where) as handle:
        while handle.status().stages["work"].rows_in < 2:
            assert not handle.wait_a_while(0.05)
        handle.drain()
        report = handle.wait(timeout="60s")
    assert report.outcome == "drained"
    assert [letter.row for letter in _letters(where)] == ["a", "b"]


class _Endless(Source[str]):
    """Two rows, and then nothing, for ever."""

    bounded = False
    replayable = True

    def splits(self) -> dict[str, Any]:
        return {"only": None}

    def open(self, split: Any, position: Any, context: ps.Context) -> Reader[str]:
        return _TwoWords(position or 0)


class _TwoWords(Reader[str]):
    def __init__(self, position: int) -> None:
        self.at = position

    def read(self) -> list[str] | None:
        words = ["a", "b"][self.at :]
        self.at = 2
        return words or None

    def position(self) -> int:
        return self.at
