"""`penstock status`: what runs, how it gets on, what limits it, and what killed runs left; once or every second.

Reads run directories as `metrics.snapshot` does; `status_table` words it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click
import msgspec

from penstock import standard_streams
from penstock.cli import status_table
from penstock.cli.directories import run_dir_option
from penstock.cli.found import runs_named
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engine.rundir import FoundRun, find_runs
from penstock.metrics.diagnosis import explain
from penstock.metrics.rates import compute
from penstock.metrics.snapshot import RunGone, Snapshot, take_snapshot
from penstock.status import Status
from penstock.terminal_text import visible_json

INTERVAL_S = 0.5
"""Between the two snapshots of a single answer."""
WATCH_EVERY_S = 1.0

_REDRAW = "\x1b[H\x1b[J"


@dataclass(frozen=True, slots=True)
class RunView:
    """A run that is up; `status` is None while it has written nothing to look at yet."""

    run: FoundRun
    status: Status | None


@dataclass(frozen=True, slots=True)
class Overview:
    """One answer."""

    running: tuple[RunView, ...]
    left: tuple[FoundRun, ...]


@click.command(short_help="Show running pipelines, and runs that were left behind.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--watch", is_flag=True, help="Refresh every second, until Ctrl-C.")
@run_dir_option
def status(name: str | None, as_json: bool, watch: bool, run_dir: Path | None) -> None:
    """Show the progress of pipeline NAME; without NAME, all running pipelines and what killed or failed runs left."""
    looking = Looking(name, run_dir, SYSTEM_CLOCK)
    overviews = looking.repeatedly() if watch else iter([looking.once()])
    in_place = watch and not as_json and is_terminal(sys.stdout)
    before, behind = ("", "") if as_json or not watch else (_REDRAW, "") if in_place else ("", "\n")
    try:
        for overview in overviews:
            in_full = name is not None or len(overview.running) == 1
            # A text taller than the screen would scroll its head away each time; the last line is the cursor's.
            height = shutil.get_terminal_size().lines - 1 if in_place else None
            told = to_json(overview) if as_json else to_text(overview, in_full=in_full, height=height)
            click.echo(f"{before}{told}{behind}")
    except KeyboardInterrupt:
        if not watch:
            raise
        # Ctrl-C is how watching ends.
        click.echo()


def is_terminal(stream: TextIO) -> bool:
    """True: what is watched is redrawn in place, instead of written below what is there."""
    return standard_streams.is_terminal(stream)


class Looking:
    """Takes the snapshots; keeps the last of each run, so that rates are those since then."""

    def __init__(self, name: str | None, run_dir: Path | None, clock: Clock) -> None:
        self._name = name
        self._run_dir = run_dir
        self._clock = clock
        self._last: dict[Path, Snapshot] = {}

    def once(self) -> Overview:
        """Two snapshots, a moment apart. Raises `RunNotFound` for a name that has no run."""
        runs = runs_named(find_runs(self._run_dir), self._name)
        if any(run.pid is not None for run in runs):
            self._look(runs)
            self._clock.sleep(INTERVAL_S)
        return self._look(runs)

    def repeatedly(self) -> Iterator[Overview]:
        """An overview every second, without end; runs may come and go."""
        yield self.once()
        while True:
            self._clock.sleep(WATCH_EVERY_S)
            yield self._look([r for r in find_runs(self._run_dir) if self._name in (None, r.name)])

    def _look(self, runs: Sequence[FoundRun]) -> Overview:
        running, snapshots = [], {}
        for run in runs:
            if run.pid is None:
                continue
            try:
                now = take_snapshot(run.path, self._clock)
            except RunGone:
                if run.path.exists():
                    running.append(RunView(run, None))
                continue
            snapshots[run.path] = now
            running.append(RunView(run, compute(self._last.get(run.path), now)))
        self._last = snapshots
        return Overview(tuple(running), tuple(run for run in runs if run.pid is None))


def to_text(overview: Overview, *, in_full: bool, height: int | None = None) -> str:
    """For people. `height`: of a screen that all should fit on, if need be without what matters least."""
    lines = list(_lines(overview, status_table.run_lines if in_full else status_table.brief_lines))
    if height is not None and len(lines) > height and in_full:
        lines = list(_lines(overview, partial(status_table.run_lines, empty_queues=False)))
    if height is not None:
        lines = status_table.cut(lines, height)
    return "\n".join(lines) or "nothing is running, and no run was left behind"


def _lines(overview: Overview, lines_of: Callable[[Status, FoundRun, int], Iterator[str]]) -> Iterator[str]:
    cores = len(os.sched_getaffinity(0))
    blocks = [
        lines_of(view.status, view.run, cores) if view.status else status_table.starting_lines(view.run)
        for view in overview.running
    ]
    blocks += [status_table.left_lines(run) for run in overview.left]
    for number, block in enumerate(blocks):
        if number:
            yield ""
        yield from block


def to_json(overview: Overview) -> str:
    """For programs: `{"running": [...], "left": [...]}`."""
    running = [_running_json(view) for view in overview.running]
    left = [
        {
            "pipeline": run.name, "phase": run.phase, "run_dir": str(run.path), "cwd": run.cwd,
            "started_s": run.started_s, "size_bytes": run.size_bytes,
        }
        for run in overview.left
    ]  # fmt: skip
    return visible_json(msgspec.json.encode({"running": running, "left": left}).decode())


def _running_json(view: RunView) -> dict[str, Any]:
    place = {"pid": view.run.pid, "run_dir": str(view.run.path), "cwd": view.run.cwd}
    if view.status is None:
        return {"pipeline": view.run.name, "phase": "starting", **place}
    return {**msgspec.to_builtins(view.status), **place, "diagnosis": explain(view.status)}
