"""What user code is told about where it runs, and when it is opened and closed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from engine_lines import Line

import penstock as ps
from penstock.testing import ListSink, crash
from penstock.testing import run as run_test


class Tells:
    """Says what its context says."""

    def open(self, context: ps.Context) -> None:
        self.context = context

    def __call__(self, x: int) -> tuple[Any, ...]:
        c = self.context
        return c.pipeline, c.stage, c.slot, c.workers, c.attempt, c.stopping


def test_the_context_says_where_code_runs(where: Any) -> None:
    app, out = ps.Pipeline("told"), ListSink[Any]()
    app.source(range(10), name="numbers").stage("work", workers=2).broadcast().map(Tells).sink(out, name="out")
    app.run(**where)
    assert set(out.rows) == {("told", "work", slot, 2, 1, False) for slot in (0, 1)}


class Diary:
    """Writes down what it lives through."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{text}\n")

    def open(self, context: ps.Context) -> None:
        self.context = context
        self.note(f"open {context.attempt}")

    def __call__(self, x: int) -> int:
        if x == 300 and self.context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    def close(self) -> None:
        self.note(f"close {self.context.attempt}")


def test_operators_are_opened_once_a_life_and_closed_after_the_last_row_only(where: Any, tmp_path: Path) -> None:
    app, out = ps.Pipeline("lives"), ListSink[int]()
    app.source(range(1000), name="numbers").stage("work").map(Diary(tmp_path / "diary")).sink(out, name="out")
    app.run(**where)
    assert out.rows == list(range(1000))
    assert (tmp_path / "diary").read_text().split("\n") == ["open 1", "open 2", "close 2", ""]


class Keys:
    """Says the key of the row in work to a file, then fails at first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, context: ps.Context) -> None:
        self.context = context
        self.failed: set[int] = set()

    def __call__(self, x: int) -> int:
        with self.path.open("a") as file:
            file.write(f"{x} {self.context.idempotency_key}\n")
        if x % 10 == 0 and x not in self.failed:
            self.failed.add(x)
            raise OSError("busy")
        return x


def test_the_idempotency_key_is_the_same_over_retries_and_kills(tmp_path: Path) -> None:
    app = ps.Pipeline("keys")
    app.source([0], name="numbers").stage("work", retries=3, retry_delay="1ms").map(Keys(tmp_path / "keys")).sink(
        ps.discard(), name="out"
    )
    outcome = run_test(app, {"numbers": range(200)}, processes=True, crashes=[crash("work", row=150)])
    assert outcome.report.stages["work"].restarts == 1
    assert sorted(outcome.outputs["out"]) == list(range(200))
    calls = [tuple(line.split()) for line in (tmp_path / "keys").read_text().splitlines()]
    assert len(calls) > 220
    keys = set(calls)
    assert len(keys) == len({row for row, _ in keys}) == len({key for _, key in keys}) == 200


class KeyOutside:
    def open(self, context: ps.Context) -> None:
        try:
            self.seen = context.idempotency_key
        except RuntimeError as error:
            self.seen = str(error)

    def __call__(self, x: int) -> str:
        return self.seen


def test_the_idempotency_key_is_refused_outside_of_a_call(where: Any) -> None:
    app, out = ps.Pipeline("outside"), ListSink[str]()
    app.source([1], name="numbers").map(KeyOutside).sink(out, name="out")
    app.run(**where)
    assert "read it inside a call" in out.rows[0]


class UntilStopping:
    """Works until it is told that the pipeline stops."""

    def __init__(self, heard: Line) -> None:
        self.heard = heard

    def open(self, context: ps.Context) -> None:
        self.context = context

    def __call__(self, x: int) -> str:
        self.heard.say("working")
        until = time.monotonic() + 60
        while not self.context.stopping and time.monotonic() < until:
            continue
        return "cut short" if self.context.stopping else "too late"


def test_a_long_function_may_cut_itself_short_when_the_pipeline_drains(where: Any, heard: Line) -> None:
    app, out = ps.Pipeline("short"), ListSink[str]()
    app.source([1], name="numbers").stage("work").map(UntilStopping(heard)).sink(out, name="out")
    handle = app.start(**where)
    heard.hear()
    handle.drain()
    assert out.rows == ["cut short"]
