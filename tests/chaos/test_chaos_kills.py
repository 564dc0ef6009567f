"""Whoever is killed, and however often: every row once in every sink, and nothing stays behind."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from chaos_harness import Habits, seconds, survive
from chaos_mill import Mill

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

ROUNDS = {
    "single_workers": Habits(one=1, some=0, all=0),
    "several_workers_at_once": Habits(one=1, some=4, all=2),
    "the_zygote_too": Habits(one=6, some=2, all=1, zygote=2),
    "the_supervisor_too": Habits(one=20, some=6, all=2, zygote=1, supervisor=1),
}


@pytest.mark.parametrize("habits", ROUNDS.values(), ids=ROUNDS.keys())
def test_every_row_is_in_every_sink_once_when_somebody_kills(habits: Habits, tmp_path: Path) -> None:
    rng = random.Random(f"{habits} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")
    mill = Mill("chaos-kills", tmp_path)
    survived = survive(
        mill.plan(), habits=habits, rng=rng, for_s=seconds(3.5), state_dir=tmp_path / "state", enough=mill.enough,
        least=20,
    )
    mill.assert_exact(survived.report)
    assert survived.kills >= 20
    if habits.supervisor:
        assert survived.supervisors >= 1
