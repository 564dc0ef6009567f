"""A worker that dies between publishing and ringing does not leave its reader asleep."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from chaos_harness import Collected, assert_nothing_left, for_chaos
from chaos_stages import OpensOnlyOnce, with_arrival

import penstock as ps
from penstock.channel.bell import SAFETY_POLL_S
from penstock.engine import engine
from penstock.slot.records.life import Crash

pytestmark = pytest.mark.chaos

WAITS_MOST_S = SAFETY_POLL_S / 2
CRASH = {"sending": (Crash("after_publish", 3),)}


def test_the_reader_continues_at_once_when_its_writer_dies_before_ringing(tmp_path: Path) -> None:
    out, repaired = Collected(tmp_path, "rows"), tmp_path / "repaired"
    app = ps.Pipeline("chaos-bell")
    sending = app.source([1, 2, 3]).stage("sending").map(OpensOnlyOnce(repaired))
    sending.stage("reading").map(with_arrival).sink(out)
    handle = engine.start(for_chaos(app.plan()), fresh=True, state_dir=tmp_path, crashes=CRASH)
    # Successors fail to open, later and later: for most of the time there is no writer at all.
    assert not handle.wait_a_while(SAFETY_POLL_S * 1.5)
    rows = out.rows()
    assert [number for number, _, _ in rows] == [1, 2, 3]
    assert max(arrived - given for _, given, arrived in rows) < WAITS_MOST_S
    repaired.touch()
    report = handle.wait(timeout="30s")
    assert out.rows() == rows
    assert 3 <= report.stages["sending"].restarts < 30
    assert_nothing_left(handle.run_dir)


def test_the_writer_continues_at_once_when_its_reader_dies_before_ringing(tmp_path: Path) -> None:
    out = Collected(tmp_path, "rows")
    app = ps.Pipeline("chaos-bell-of-room")
    made = app.source(range(40_000)).stage("making")
    # The queue is much smaller than what passes: the writer sleeps for room when its reader dies.
    made.map(OpensOnlyOnce(tmp_path)).stage("reading", edge=ps.Edge(memory="512 KiB")).map(
        with_arrival
    ).sink(out)
    crashes = {"reading": (Crash("after_publish", 5_000),)}
    handle = engine.start(for_chaos(app.plan()), fresh=True, state_dir=tmp_path, crashes=crashes)
    report = handle.wait(timeout="30s")
    rows = out.rows()
    assert [number for number, _, _ in rows] == list(range(40_000))
    arrivals = [arrived for _, _, arrived in rows]
    assert max(after - before for before, after in pairwise(arrivals)) < WAITS_MOST_S
    assert report.stages["reading"].restarts == 1
    assert_nothing_left(handle.run_dir)
