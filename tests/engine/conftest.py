"""Gives the tests of real runs a place of their own, and lines between the test and the workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pytest
from engine_lines import Line


class Where(TypedDict):
    """Keyword arguments of `run` and `start`."""

    run_dir: Path
    state_dir: Path


@pytest.fixture
def where(tmp_path: Path) -> Where:
    return {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Line]:
    """From workers to the test."""
    line = Line(tmp_path / "heard")
    yield line
    line.close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Line]:
    """From the test to workers."""
    line = Line(tmp_path / "told")
    yield line
    line.close()
