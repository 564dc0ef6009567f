"""Whole runs in one process: the real workers and the real supervisor on a machine made of one seed.

`python tests/simulation/simulate.py --seed N` runs one of them again; `--seconds 600` runs for longer.
"""

from __future__ import annotations

import os
import secrets
import time

import pytest
from sim_planted import OF_CUTS, PLANTED, SELDOM, planted
from sim_run import Simulation

pytestmark = [pytest.mark.interpreted, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("PENSTOCK_CHAOS_SECONDS", "0")) or 15.0
MOST_RUNS = 3000
"""Many times as many as the bugs planted here take, which is about a hundred at most: so chance fails no test."""


def run(seed: int, *, checkpointed: bool = False) -> None:
    simulation = Simulation(seed, checkpointed=checkpointed)
    try:
        simulation.run()
    except Exception as exc:
        how = " --checkpointed" if checkpointed else ""
        exc.add_note(f"python tests/simulation/simulate.py --seed {seed}{how}   # {simulation.describe()}")
        raise


def test_nothing_is_lost_repeated_or_out_of_order_in_the_runs_of_all_days() -> None:
    for seed in range(100):
        run(seed)


def test_nothing_is_lost_repeated_or_out_of_order_in_runs_that_nobody_has_seen_before() -> None:
    until, seed = time.monotonic() + SECONDS, secrets.randbits(40)
    while time.monotonic() < until:
        run(seed)
        seed += 1


def test_a_seed_says_all_that_happens() -> None:
    """Or a failure could not be looked at again."""
    for seed in (3, 20, 36):
        seen = []
        for _ in range(2):
            simulation = Simulation(seed)
            simulation.run()
            rows = {name: target.rows for name, target in simulation.machine.targets.items()}
            seen.append((simulation.machine.schedule.points, simulation.machine.schedule.now, simulation.lives, rows))
        assert seen[0] == seen[1]


@pytest.mark.parametrize("name", [name for name in PLANTED if name not in SELDOM])
def test_a_planted_bug_is_found(name: str) -> None:
    """`simulate.py --planted` looks for the others, too."""
    with planted(name):
        assert any(is_wrong(seed, checkpointed=name in OF_CUTS) for seed in range(MOST_RUNS))


def test_a_lost_machine_is_restored_from_cuts_that_nobody_was_asked_for() -> None:
    for seed in range(60):
        run(seed, checkpointed=True)


def is_wrong(seed: int, *, checkpointed: bool) -> bool:
    try:
        Simulation(seed, checkpointed=checkpointed).run()
    except Exception:
        return True
    return False
