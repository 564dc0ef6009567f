"""Makes `run_dirs` importable, and gives a clock and an empty handmade run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from run_dirs import HandClock, HandmadeRun


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def made(tmp_path: Path, clock: HandClock) -> HandmadeRun:
    return HandmadeRun(tmp_path / "run", clock)
