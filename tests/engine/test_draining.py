"""While a run drains: the stages that wait for a slow one wait asleep, and a stop does not wait for a batch."""

from __future__ import annotations

from typing import Any

import pytest
from engine_lines import Line

import penstock as ps
from penstock.testing import ListSink


class Held:
    """Says its first row and waits to be told before it goes on."""

    def __init__(self, heard: Line, told: Line) -> None:
        self.heard, self.told, self.first = heard, told, True

    def __call__(self, x: int) -> int:
        if self.first:
            self.heard.say(x)
            self.told.hear()
        self.first = False
        return x


def test_a_stage_that_waits_for_rows_sleeps_while_the_run_drains(where: Any, heard: Line, told: Line) -> None:
    app, out = ps.Pipeline("drained"), ListSink[int]()
    app.source(range(10)).stage("work").map(Held(heard, told)).sink(out, name="out")
    handle = app.start(**where)
    heard.hear()
    handle.ask_to_drain(None)
    with pytest.raises(TimeoutError):
        heard.hear(0.5)  # the time in which the sink has nothing to do
    told.say()
    report = handle.wait(timeout="30s")
    assert out.rows == list(range(10))
    assert report.stages["out"].busy_s < 0.25


def test_a_stop_does_not_wait_for_the_rest_of_a_batch(where: Any, heard: Line, told: Line) -> None:
    def slowly(x: int) -> int:
        if x == 10:
            heard.say()
        told.silent() if x < 10 else told.hear()
        return x

    app = ps.Pipeline("stopped")
    app.source(range(1000)).stage("work").map(slowly).sink(ps.discard())
    handle = app.start(**where)
    heard.hear()
    handle.ask_to_stop()
    told.say()
    report = handle.wait(timeout="30s")
    assert report.outcome == "stopped"
