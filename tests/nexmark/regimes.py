"""A query's run that ends where nobody wanted it to, and goes on with other workers until its input is through.

Its source gives rows slowly and only as far as it is allowed to, so every end comes in the middle of the input.
"""

from __future__ import annotations

import os
import random
import select
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from chaos_harness import kill, lose_the_machine, processes_of, workers_of
from nexmark.queries import pipeline

import penstock as ps
from penstock.connectors import files
from penstock.metrics.checkpoint_state import read_state
from penstock.plan.paths import RunPaths
from penstock.source import Position, Reader, Source

GIVE_UP_S = 240.0
WORKERS = (2, 3, 1)
"""Of each stage that can have several, in one life after the other."""
ONE_WORKER = ("rows", "events")
"""The sink; and the source, unless it is the only stage that computes."""
REACHES = (0.4, 0.7)
"""How far into the input a life may come before its end; the last one has no end but the input's."""
PARTS = 4

Ended: TypeAlias = "Callable[[Life, ps.Handle], None]"
"""Ends a life in the middle."""


@dataclass(frozen=True)
class Paced(Source[str]):
    """The lines of files, as far into each as a file says, and slowly."""

    lines: Source[str]
    reach: Path

    @property
    def row_type(self) -> Any:
        return self.lines.row_type

    def splits(self) -> Mapping[str, Any]:
        return self.lines.splits()

    def open(self, split: Any, position: Position | None, context: ps.Context) -> Reader[str]:
        return _Paced(self.lines.open(split, position, context), Path(split["path"]).stat().st_size, self.reach)


class _Paced(Reader[str]):
    poll_after = "10ms"

    def __init__(self, reader: Reader[str], size: int, reach: Path) -> None:
        self._reader, self._size, self._reach = reader, size, reach

    def read(self) -> Any:
        reach = float(self._reach.read_text())
        if reach < 1:
            if int(self.position()["at"]) >= reach * self._size:
                return None
            select.select([], [], [], 0.03)
        return self._reader.read()

    def position(self) -> Position:
        return self._reader.position()

    def close(self) -> None:
        self._reader.close()


@dataclass
class Life:
    """All runs of one query in one folder, over `events`."""

    query: str
    events: Path
    folder: Path
    checkpoint: ps.CheckpointOptions | None = None
    killed: int = 0
    resumed: list[str] = field(default_factory=list)
    """From where each run but the first did."""

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.query} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")

    @property
    def output(self) -> Path:
        return self.folder / "rows.jsonl"

    def go(self, *ends: Ended) -> None:
        """Live through these ends, and then to the end of the input, each time with other workers."""
        for number, end in enumerate(ends):
            self._allow(REACHES[number])
            handle = self._start(number)
            until(lambda handle=handle: handle.status().stages["events"].rows_in)
            end(self, handle)
        self._allow(1)
        report = self._start(len(ends)).wait(timeout=f"{GIVE_UP_S}s")
        assert report.outcome == "finished", report
        assert not sum(1 for _ in ps.read_dead_letters(f"nexmark-{self.query}", state_dir=self.folder / "state"))

    def _start(self, number: int) -> ps.Handle:
        lines = Paced(files.lines(list(self._files())), self.folder / "reach")
        app = pipeline(self.query, lines, self.output, workers=WORKERS[number])
        handle = app.start(
            run_dir=self.folder / "run", state_dir=self.folder / "state", checkpoint=self.checkpoint,
            settings=_settings(app, WORKERS[number]),
        )
        resumed = handle.status().resumed
        assert (resumed is not None) == (number > 0), f"run {number} resumed {resumed}"
        self.resumed += [resumed] if resumed else []
        return handle

    def _files(self) -> Iterator[Path]:
        """Several if the source is all there is that can have several workers."""
        if not _is_by_itself(pipeline(self.query, self.events, self.output)):
            yield self.events
            return
        lines = self.events.read_bytes().splitlines(keepends=True)
        for part in range(PARTS):
            path = self.folder / f"events-{part}.jsonl"
            if not path.exists():
                path.write_bytes(b"".join(lines[part * len(lines) // PARTS : (part + 1) * len(lines) // PARTS]))
            yield path

    def _allow(self, reach: float) -> None:
        (self.folder / "new").write_text(str(reach))
        (self.folder / "new").rename(self.folder / "reach")


def stopped(life: Life, handle: ps.Handle) -> None:
    _disturb(life, handle, life.chance.randint(0, 2))
    assert handle.stop().resumes


def drained(life: Life, handle: ps.Handle) -> None:
    _disturb(life, handle, life.chance.randint(0, 2))
    assert handle.drain().resumes


def lost(life: Life, handle: ps.Handle) -> None:
    """All processes are killed, and the run directory is gone."""
    _disturb(life, handle, life.chance.randint(3, 6))
    # Of this run: before its first one, the loss of the machine would be nothing but another beginning.
    until(lambda: (state := read_state(RunPaths(handle.run_dir).checkpoint_state)) is not None and state.id)
    lose_the_machine(handle)


def _disturb(life: Life, handle: ps.Handle, kills: int) -> None:
    """Kill workers and the checkpointer, at random."""
    for _ in range(kills):
        _wait(life)
        life.killed += _kill_one(handle.run_dir, life.chance)
    _wait(life)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        select.select([], [], [], 0.01)


def _wait(life: Life) -> None:
    select.select([], [], [], life.chance.random() * 0.2)


def _kill_one(run_dir: Path, chance: random.Random) -> int:
    """1: one was killed; of those that there are now."""
    checkpointers = [pid for pid, command in processes_of(run_dir).items() if "checkpointer" in command]
    victims = [*workers_of(run_dir), *checkpointers]
    if not victims:
        return 0
    kill(chance.choice(victims))
    return 1


def _is_by_itself(app: ps.Pipeline) -> bool:
    return set(app.plan().stages) <= set(ONE_WORKER)


def _settings(app: ps.Pipeline, workers: int) -> dict[str, object]:
    stages = set(app.plan().stages)
    several = {"events"} if _is_by_itself(app) else stages - set(ONE_WORKER)
    restarts: dict[str, object] = {f"{stage}.max_restarts": "100000/m" for stage in stages}
    return restarts | {f"{stage}.workers": workers for stage in several}
