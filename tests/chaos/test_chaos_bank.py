"""The money of a bank stays the same under kills, pauses, stops, losses of the machine, and other numbers of workers.

A sample of what `python tests/chaos/bank_runs.py --runs 3000` does.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bank import Run

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.mark.parametrize("seed", range(6))
def test_the_sum_of_all_accounts_never_changes(seed: int, tmp_path: Path) -> None:
    run = Run(tmp_path, seed)
    assert run.survive(lives=3) > 0
