"""Puts the reference application on the path, as `penstock demo` does, and runs its pure stages without the engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
if str(EXAMPLES) not in sys.path:
    sys.path.insert(0, str(EXAMPLES))


@pytest.fixture(scope="session")
def sample() -> Path:
    """The data that ships with the application."""
    return EXAMPLES / "analytics" / "sample"
