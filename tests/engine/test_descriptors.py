"""A program that runs many pipelines in a row, as a notebook does, keeps nothing open of those that are over."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

import penstock as ps


def _open() -> int:
    return len(os.listdir("/proc/self/fd"))


def _numbers() -> ps.Stream[int]:
    return ps.Pipeline("many").source(range(10), name="numbers").stage("work").map(int)


def test_runs_and_results_that_are_over_hold_no_descriptor(where: Any) -> None:
    def once() -> None:
        app = ps.Pipeline("many-runs")
        app.source(range(10), name="numbers").stage("work").map(int).sink(ps.discard())
        app.run(**where)
        assert list(_numbers().results()) == list(range(10))
        with _numbers().results() as cut:
            next(cut)

    once()  # what a first run imports and opens for good
    before = _open()
    once()
    once()
    assert _open() == before


def test_results_that_were_lost_hold_no_descriptor_once_their_run_has_ended() -> None:
    with _numbers().results() as cut:
        next(cut)  # what a first run imports and opens for good
    before = _open()
    lost = _numbers().results()
    next(lost)
    ending = lost.handle
    del lost
    gc.collect()
    ending.wait(timeout="60s")
    deadline = time.monotonic() + 30
    while _open() != before and time.monotonic() < deadline:  # the handle's thread closes them behind the end
        time.sleep(0.01)
    assert _open() == before
