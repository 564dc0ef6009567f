"""What `testing.run` returns to a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.dead_letters import DeadLetter
from penstock.report import Report


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a pipeline produced."""

    outputs: Mapping[str, Sequence[Any]]
    """Rows by the name of the sink (of its stage, for a fused sink), in the order of their arrival."""
    dead_letters: Sequence[DeadLetter]
    report: Report
