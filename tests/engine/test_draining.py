"""While a run drains: the stages that wait for a slow one wait asleep, and a stop does not wait for a batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from engine_lines import Line

import penstock as ps
from penstock.mapped_file import by_mapping
from penstock.slot.records.control import Control
from penstock.testing import ListSink


class Held:
    """Says its first row and waits to be told before it continues."""

    def __init__(self, heard: Line, told: Line) -> None:
        self.heard, self.told, self.first = heard, told, True

    def __call__(self, x: int) -> int:
        if self.first:
            self.heard.say(x)
            self.told.hear()
        self.first = False
        return x


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:  # the source has finished
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_a_stage_that_waits_for_rows_sleeps_while_the_run_drains(where: Any, heard: Line, told: Line) -> None:
    app, out = ps.Pipeline("drained"), ListSink[int]()
    app.source(range(10)).stage("work").map(Held(heard, told)).sink(out, name="out")
    handle = app.start(**where)
    heard.hear()
    handle.ask_to_drain(None)
    before = _cpu_s(handle.worker_pids())
    with pytest.raises(TimeoutError):
        heard.hear(0.5)  # the time in which nobody has anything to do
    spent_s = _cpu_s(handle.worker_pids()) - before
    told.say()
    handle.wait(timeout="30s")
    assert out.rows == list(range(10))
    assert spent_s < 0.2


def test_a_stop_does_not_wait_for_the_rest_of_a_batch(where: Any, heard: Line, told: Line) -> None:
    def work(x: int) -> int:
        if x in (0, 4000):
            heard.say(x)
        if x == 0:
            told.hear()
        return x

    app = ps.Pipeline("stopped")
    app.source(range(4096)).stage("work").map(work).sink(ps.discard())
    handle = app.start(**where)
    assert heard.hear() == "0"
    control = Control(handle.run_dir / "control", by_mapping)
    handle.ask_to_stop()
    while not control.stopping:
        handle.wait_a_while(0.01)
    told.say()
    report = handle.wait(timeout="30s")
    assert report.outcome == "stopped"
    assert heard.silent(), "the last rows of the batch were worked, too"
