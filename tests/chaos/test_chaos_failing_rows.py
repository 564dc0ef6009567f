"""Dead letters, retries and their counts are part of the turn: no kill doubles or loses one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from chaos_harness import Collected, Habits, Killer, assert_nothing_left, for_chaos, seconds, survive
from chaos_stages import FailsAtFirst, Paced, every_fiftieth_is_bad

import penstock as ps
from penstock.dead_letters import read_dead_letters
from penstock.engine import engine

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

FEW_ROWS = ps.Edge(batch_rows=20, linger="1ms")


@pytest.mark.parametrize("supervisor", [0, 1], ids=["workers", "the_supervisor_too"])
def test_each_bad_row_is_set_aside_once_when_somebody_kills(supervisor: int, tmp_path: Path) -> None:
    rows = int(4_000 * seconds(4.0) / 4.0)
    bad = [number for number in range(rows) if number % 50 == 17]
    out = Collected(tmp_path, "good")
    app = ps.Pipeline("chaos-bad-rows")
    checked = app.source(range(rows)).stage("check", workers=2, edge=FEW_ROWS)
    checked.map(Paced(0.001)).map(every_fiftieth_is_bad).sink(out, edge=FEW_ROWS)
    habits = Habits(one=20, some=4, all=2, zygote=1, supervisor=supervisor)
    survived = survive(
        for_chaos(app.plan()), habits=habits, rng=random.Random(11), for_s=seconds(3.0), state_dir=tmp_path / "state"
    )
    letters = list(read_dead_letters("chaos-bad-rows", state_dir=tmp_path / "state"))
    assert sorted(letter.row for letter in letters) == bad
    assert len({letter.id for letter in letters}) == len(bad)
    assert sorted(out.rows()) == sorted(set(range(rows)) - set(bad))
    stage = survived.report.stages["check"]
    assert (stage.rows_in, stage.rows_out, stage.dead_letters) == (rows, rows - len(bad), len(bad))
    assert survived.kills > 10


def test_rows_that_fail_at_first_get_through_once_when_somebody_kills(tmp_path: Path) -> None:
    rows = 2_000
    out = Collected(tmp_path, "good")
    app = ps.Pipeline("chaos-retries")
    tried = app.source(range(rows)).stage(
        "try", workers=2, edge=FEW_ROWS, retries=2, retry_delay="50ms"
    )
    tried.map(Paced(0.001)).map(FailsAtFirst(tmp_path, failures=2)).sink(out, edge=FEW_ROWS)
    handle = engine.start(for_chaos(app.plan()), fresh=True, state_dir=tmp_path / "state")
    with Killer(handle, Habits(), random.Random(12), seconds(2.0)) as killer:
        report = handle.wait(timeout="60s")
    assert sorted(out.rows()) == list(range(rows))
    assert report.dead_letters == 0
    stage = report.stages["try"]
    assert (stage.rows_in, stage.rows_out) == (rows, rows)
    failing = rows // 10
    # A call that a kill cut off has left its trace in the attempts' files, but was no attempt: so fewer may be counted.
    assert 0 < stage.retries <= 2 * failing
    assert killer.kills > 10
    assert_nothing_left(handle.run_dir)


def test_every_attempt_is_counted_and_the_row_set_aside_once_when_it_never_succeeds(tmp_path: Path) -> None:
    rows = 500
    out = Collected(tmp_path, "good")
    app = ps.Pipeline("chaos-retries-in-vain")
    tried = app.source(range(rows)).stage(
        "try", workers=2, edge=FEW_ROWS, retries=2, retry_delay="50ms"
    )
    tried.map(Paced(0.002)).map(every_fiftieth_is_bad).sink(out, edge=FEW_ROWS)
    handle = engine.start(for_chaos(app.plan()), fresh=True, state_dir=tmp_path / "state")
    with Killer(handle, Habits(), random.Random(13), seconds(2.0)):
        report = handle.wait(timeout="60s")
    letters = list(read_dead_letters("chaos-retries-in-vain", state_dir=tmp_path / "state"))
    assert sorted((letter.row, letter.attempts) for letter in letters) == [(n, 3) for n in range(17, rows, 50)]
    assert report.stages["try"].retries == 2 * len(letters)
    assert report.stages["try"].dead_letters == len(letters)
    assert len(out.rows()) == rows - len(letters)
    assert_nothing_left(handle.run_dir)
