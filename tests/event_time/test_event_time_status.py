"""`status` of a run in progress shows how far event time has come, what holds it up, and how many rows were late."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import penstock as ps
from penstock.testing import Pause, ScriptedSource

pytestmark = pytest.mark.timeout(600)

WAIT_S = 120.0


class Reading(msgspec.Struct):
    at: float
    sensor: str


def same(reading: Reading) -> Reading:
    return reading


def until(handle: ps.Handle, holds: Callable[[ps.Status], bool]) -> ps.Status:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        status = handle.status()
        if holds(status):
            return status
        time.sleep(0.02)
    pytest.fail(f"not within {WAIT_S} s: {status.to_json()}")


def readings(*, then: str = "1h") -> ScriptedSource[Reading]:
    """A hundred of them, and then none for a while."""
    return ScriptedSource([*(Reading(n, "ab"[n % 2]) for n in range(100)), Pause(then)])


def test_stages_and_edges_show_how_far_it_has_come(tmp_path: Path) -> None:
    app = ps.Pipeline("status-of-times")
    timed = app.source(readings(), name="read").event_time("at", disorder="5s")
    timed.stage("check", workers=2).key_by("sensor").map(same).sink(ps.discard(), name="out")
    with app.start(run_dir=tmp_path / "run", state_dir=tmp_path / "state") as handle:
        status = until(handle, lambda now: has_come_to(now, "out", 94.0))
        handle.drain()
    for stage in ("read", "check"):
        assert has_come_to(status, stage, 94.0)
    splits, edge = status.stages["read"].splits_event_time, status.edges["read->check"].event_time
    assert splits is not None and (splits.watermark_s, splits.inputs, splits.idle_inputs) == (94.0, 1, 0)
    assert edge is not None and (edge.watermark_s, edge.inputs, edge.ended) == (94.0, 2, False)
    assert edge.lag_s is not None and edge.lag_s == pytest.approx(time.time() - 94.0, abs=60)
    assert json.loads(status.to_json())["stages"]["check"]["event_time"]["watermark_s"] == 94.0
    assert status.stages["check"].late == 0


def test_an_input_that_is_set_aside_is_shown_and_holds_nothing_up(tmp_path: Path) -> None:
    app = ps.Pipeline("status-of-idle-inputs")
    quiet = app.source(ScriptedSource([Reading(1.0, "a"), Pause("1h")]), name="quiet")
    busy = app.source(readings(), name="busy").event_time("at")
    merged = quiet.event_time("at", idle_after="200ms").merge(busy)
    merged.stage("check").map(same).sink(ps.discard(), name="out")
    with app.start(run_dir=tmp_path / "run", state_dir=tmp_path / "state") as handle:
        status = until(handle, lambda now: has_come_to(now, "out", 99.0))
        handle.drain()
    times = {name: edge.event_time for name, edge in status.edges.items()}
    idle = {name: each.idle_inputs for name, each in times.items() if each is not None}
    assert idle == {"quiet->check": 1, "busy->check": 0, "check->out": 0}


def has_come_to(status: ps.Status, stage: str, watermark_s: float) -> bool:
    told = status.stages[stage].event_time
    return told is not None and told.watermark_s == watermark_s


def test_a_pipeline_without_event_time_shows_none(tmp_path: Path) -> None:
    app = ps.Pipeline("status-without-times")
    app.source(readings(), name="read").stage("check").map(same).sink(ps.discard(), name="out")
    with app.start(run_dir=tmp_path / "run", state_dir=tmp_path / "state") as handle:
        status = until(handle, lambda now: now.stages["out"].rows_in == 100)
        handle.drain()
    assert all(stage.event_time is None and stage.splits_event_time is None for stage in status.stages.values())
    assert all(edge.event_time is None for edge in status.edges.values())
