"""What a test looks at when `testing.run` is through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.dead_letters import DeadLetter
from penstock.report import Report


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a pipeline gave."""

    outputs: Mapping[str, Sequence[Any]]
    """Rows by the name of the sink (a fused one: of its stage), in the order in which they arrived."""
    dead_letters: Sequence[DeadLetter]
    report: Report
