"""Requests to kill a worker at a named point; `with_processes` passes them to the engine."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.names import did_you_mean
from penstock.slot.process.crash_points import POINTS


@dataclass(frozen=True, slots=True)
class Crash:
    """Kill each of a stage's workers once, at a point. Made by `crash`."""

    stage: str
    point: str
    row: int


def crash(stage: str, *, at: str = "before_commit", row: int = 1) -> Crash:
    """Kill each worker of `stage` as `kill -9` does, in its first life, at the point `at`.

    A worker dies the first time that it reaches this point after it has taken at least `row` rows. Raises `ValueError`
    for a point that does not exist.
    """
    if at not in POINTS:
        raise ValueError(f"{at!r} is not a point to crash at; {did_you_mean(at, POINTS)}")
    if row < 1:
        raise ValueError(f"row={row} never comes; rows are counted from 1")
    return Crash(stage, at, row)
