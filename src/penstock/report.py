"""What a run reports when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

import msgspec

Outcome: TypeAlias = Literal["finished", "drained", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class StageReport:
    """The final counts of one stage, for all its slots and all lives of its workers."""

    name: str
    rows_in: int
    rows_out: int
    retries: int
    dead_letters: int
    skipped: int
    restarts: int
    busy_s: float
    late: int = 0
    """Rows that came after the event time for which they were waited for."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended. `str()` is what `penstock run` prints."""

    pipeline: str
    outcome: Outcome
    duration_s: float
    stages: Mapping[str, StageReport]
    undelivered_rows: int
    resumes: bool = False
    """True: it was told to end before its input was through, and the next run resumes from there."""

    @property
    def dead_letters(self) -> int:
        """Rows set aside, in all stages together."""
        return sum(stage.dead_letters for stage in self.stages.values())

    def to_json(self) -> str:
        """Return the report as one JSON object."""
        return msgspec.json.encode({**asdict(self), "dead_letters": self.dead_letters}).decode()

    def __str__(self) -> str:
        head = f"{self.pipeline}: {self.outcome} after {self.duration_s:.1f} s"
        columns = ["stage", "rows in", "rows out", "retries", "dead letters", "skipped", "restarts", "busy s"]
        table = [columns] + [
            [s.name, f"{s.rows_in:,}", f"{s.rows_out:,}", f"{s.retries:,}", f"{s.dead_letters:,}", f"{s.skipped:,}",
             f"{s.restarts:,}", f"{s.busy_s:.1f}"]
            for s in self.stages.values()
        ]
        if any(stage.late for stage in self.stages.values()):
            for row, cell in zip(table, ["late", *(f"{s.late:,}" for s in self.stages.values())], strict=True):
                row.insert(6, cell)
        widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
        lines = [
            "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
            for row in table
        ]
        tail = [f"{self.undelivered_rows:,} rows were not delivered"] if self.undelivered_rows else []
        if self.dead_letters:
            tail.append(f"look at dead letters: penstock dead-letters list {self.pipeline}")
        return "\n".join([head, *lines, *tail])
