"""The short run that is swept: copies of one small pipeline side by side in one run, and what each must have given.

A copy is source -> middle -> fan -> sink: six rows in batches of two, one row that always raises (tried twice, then a
dead letter), one that fails at its first call, and a fan-out of two. A module of its own, for workers import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

import penstock as ps
from penstock.connectors import duckdb, files
from penstock.operator import Context
from penstock.plan.plan import Plan
from penstock.report import Report
from penstock.source import EndOfSplit, Position, Reader, Source

NAME = "crash-sweep"
ROWS = 6
BATCH = 2
BAD, FLAKY = 2, 4
STAGES = ("source", "middle", "fan", "sink")
GIVEN = tuple((row, part) for row in range(ROWS) if row != BAD for part in range(2))
_ROW_BYTES = 45
_QUEUE_BYTES = 456
"""Two frames of two rows are a backlog that a third waits behind, and the third lies over the first one's place: a
head that is published too early is seen, for what it gives back is overwritten at once."""


def row_of(number: int) -> str:
    """A row of the source: its number, and what makes it long."""
    return str(number).ljust(_ROW_BYTES, ".")


@dataclass(frozen=True)
class Pairs(Source[str]):
    """The rows, two by two, so that several turns are committed."""

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[str]:
        return _PairsReader(int(position or 0))


class _PairsReader(Reader[str]):
    def __init__(self, at: int) -> None:
        self._at = at

    def read(self) -> list[str]:
        if self._at >= ROWS:
            raise EndOfSplit
        self._at += BATCH
        return [row_of(number) for number in range(self._at - BATCH, self._at)]

    def position(self) -> Position:
        return self._at


@dataclass(frozen=True)
class Middle:
    """One row is bad for good, one until it was called once."""

    called: Path

    def __call__(self, row: str) -> str:
        if row == row_of(BAD):
            raise ValueError("bad for good")
        if row == row_of(FLAKY) and not self.called.exists():
            self.called.touch()
            raise ConnectionError("not yet")
        return row


def twice(row: str) -> list[dict[str, int]]:
    return [{"row": int(row.rstrip(".")), "part": part} for part in range(2)]


@dataclass(frozen=True)
class Copies:
    """So many of the pipeline in one run."""

    folder: Path
    number: int
    database: bool = False
    """True: into DuckDB tables, by transactions; else into JSON lines."""

    def plan(self) -> Plan:
        app = ps.Pipeline(NAME)
        edge = ps.Edge(batch_rows=BATCH, linger="1ms")
        for copy in range(self.number):
            rows = app.source(Pairs(), name=f"source-{copy}").stage(
                f"middle-{copy}", edge=edge, retries=1, retry_delay="1ms", on_error=ps.dead_letter()
            ).map(Middle(self.folder / f"called-{copy}"))
            fan = rows.stage(f"fan-{copy}", edge=edge).flat_map(twice)
            if self.database:
                fan.sink(duckdb.table(self._target(copy), "given"), name=f"sink-{copy}", edge=edge)
            else:
                fan.sink(files.json_lines(self._target(copy)), name=f"sink-{copy}", edge=edge)
        return for_sweep(app.plan())

    def slots(self) -> list[str]:
        """In the order of the plan."""
        return [f"{stage}-{copy}" for copy in range(self.number) for stage in STAGES]

    def wrong_counts(self, report: Report) -> list[str]:
        """What is not as it must be in the report; empty: it is exact."""
        found = [] if report.outcome == "finished" else [f"the run {report.outcome}"]
        for copy in range(self.number):
            found += self._wrong_counts(copy, report)
        return found

    def wrong_rows(self, letters: Sequence[ps.DeadLetter]) -> list[str]:
        """As `wrong_counts`, of what was delivered and what was set aside."""
        found = []
        for copy in range(self.number):
            found += self._wrong_rows(copy)
            told = [letter for letter in letters if letter.stage == f"middle-{copy}"]
            own = [(letter.row, letter.attempts, letter.error) for letter in told]
            if own != [(row_of(BAD), 2, "ValueError: bad for good")]:
                found.append(f"copy {copy}: dead letters {own}")
        if len(letters) != self.number:
            found.append(f"{len(letters)} dead letters in all: {sorted({letter.error for letter in letters})}")
        return found

    def _target(self, copy: int) -> Path:
        return self.folder / (f"given-{copy}.duckdb" if self.database else f"given-{copy}.jsonl")

    def _wrong_rows(self, copy: int) -> list[str]:
        given = self._given(copy)
        return [] if sorted(given) == list(GIVEN) else [f"copy {copy}: rows {given}"]

    def _given(self, copy: int) -> list[tuple[int, int]]:
        if self.database:
            import duckdb as driver

            with driver.connect(str(self._target(copy)), read_only=True) as connection:
                return [(row, part) for row, part in connection.execute("SELECT row, part FROM given").fetchall()]
        lines = map(msgspec.json.decode, self._target(copy).read_bytes().splitlines())
        return [(line["row"], line["part"]) for line in lines]

    def _wrong_counts(self, copy: int, report: Report) -> list[str]:
        through = ROWS - 1
        must = {
            "source": (ROWS, ROWS, 0), "middle": (ROWS, through, 1), "fan": (through, 2 * through, 0),
            "sink": (2 * through, 2 * through, 0),
        }
        found = []
        for stage, counts in must.items():
            told = report.stages[f"{stage}-{copy}"]
            if (told.rows_in, told.rows_out, told.dead_letters) != counts:
                found.append(f"copy {copy}: {told} instead of {counts}")
        retries = report.stages[f"middle-{copy}"].retries
        if retries not in (1, 2):  # a kill behind the first call of the flaky row makes its retry unnecessary
            found.append(f"copy {copy}: {retries} retries")
        return found


def for_sweep(plan: Plan) -> Plan:
    """As many restarts as anybody causes, and small queues."""
    stages = {
        name: replace(stage, settings=replace(stage.settings, max_restarts=(1_000_000.0, 1.0)))
        for name, stage in plan.stages.items()
    }
    return replace(
        plan, stages=stages, edges=tuple(replace(edge, channel_bytes=_QUEUE_BYTES) for edge in plan.edges)
    )
