"""Reads a run directory's pages and queue cursors into one frozen value; `status.py` compares two of them.

The workers are not asked and do not notice: anybody who may read the files may take a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import msgspec

from penstock.channel.queue_file import QueueReading, look
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import NotPrivate, PenstockError, QueueDamaged
from penstock.metrics.catalogue import Word
from penstock.metrics.checkpoint_state import CheckpointState, read_state
from penstock.metrics.layout import LAST_ERROR_DIR, LAYOUT_FILE, EdgeLayout, StageLayout, decode
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.private_files import read_own
from penstock.run_files import refused
from penstock.shared_file import by_calls
from penstock.status import Phase

PHASES: tuple[Phase, ...] = get_args(Phase)

_LAST_ERROR_BYTES = 4000
_READ_ATTEMPTS = 4


class RunGone(PenstockError):
    """The run directory is not there any more: the run ended."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        super().__init__(f"{run_dir} is gone: the run ended; `penstock status` lists the running pipelines")


class PageReading(msgspec.Struct, frozen=True):
    """The words of a slot's page, and when they were read."""

    at_ns: int
    """CLOCK_MONOTONIC."""
    words: tuple[int, ...]


class StageReading(msgspec.Struct, frozen=True):
    """One stage as it was read."""

    layout: StageLayout
    pages: tuple[PageReading, ...]
    last_error: str | None


class EdgeReading(msgspec.Struct, frozen=True):
    """One edge as it was read."""

    layout: EdgeLayout
    queues: tuple[QueueReading, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """A run at one moment, as far as reading one file after the other can tell."""

    pipeline: str
    phase: Phase
    started_s: float
    at_s: float
    """CLOCK_MONOTONIC."""
    wall_s: float
    stages: Mapping[str, StageReading]
    edges: Mapping[str, EdgeReading]
    checkpoints: CheckpointState | None = None
    resumed: str = ""

    def totals(self) -> dict[str, int]:
        """Rows that each source stage will give; empty unless all sources know."""
        receivers = {edge.layout.receiver for edge in self.edges.values()}
        totals = {name: s.layout.bounded_total for name, s in self.stages.items() if name not in receivers}
        known = {name: total for name, total in totals.items() if total is not None}
        return known if len(known) == len(totals) else {}


def take_snapshot(run_dir: Path, clock: Clock = SYSTEM_CLOCK) -> Snapshot:
    """Read everything once. Raises `RunGone` when the run ended meanwhile, `QueueDamaged` for a file that is none."""
    path = run_dir / LAYOUT_FILE
    try:
        return _read(run_dir, path, clock)
    except FileNotFoundError:
        raise RunGone(run_dir) from None
    except QueueDamaged:
        # Files of a run that ends go one after the other, or all at once by a rename; the layout is among the first.
        if not path.exists():
            raise RunGone(run_dir) from None
        raise


def _read(run_dir: Path, path: Path, clock: Clock) -> Snapshot:
    try:
        layout = decode(read_own(path))
    except FileNotFoundError:
        raise
    except (OSError, NotPrivate) as exc:
        raise refused(path, "the layout", exc) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise QueueDamaged(path, f"this is not a layout: {exc}") from exc
    return Snapshot(
        pipeline=layout.pipeline,
        phase=_read_phase(run_dir / layout.phase_file),
        started_s=layout.started_s,
        at_s=clock.monotonic(),
        wall_s=clock.wall(),
        stages={stage.name: _read_stage(run_dir, stage, clock) for stage in layout.stages},
        edges={edge.name: _read_edge(run_dir, edge) for edge in layout.edges},
        checkpoints=read_state(RunPaths(run_dir).checkpoint_state),
        resumed=layout.resumed,
    )


def _read_phase(path: Path) -> Phase:
    try:
        word = read_own(path).decode(errors="replace").strip()
    except FileNotFoundError:
        return "starting"
    except (OSError, NotPrivate) as exc:
        raise refused(path, "the phase", exc) from exc
    for phase in PHASES:
        if word == phase:
            return phase
    raise QueueDamaged(path, f"{word[:40]!r} is not a phase")


def _read_stage(run_dir: Path, stage: StageLayout, clock: Clock) -> StageReading:
    pages = tuple(_read_page(run_dir / page, clock) for page in stage.pages)
    return StageReading(stage, pages, _read_last_error(run_dir / LAST_ERROR_DIR / stage.name))


def _read_page(path: Path, clock: Clock) -> PageReading:
    page = Page(path, by_calls, writable=False)
    try:
        # The worker may change its activity while the words are copied: a sum of after and an activity of before
        # would count the same time twice. Then read again; a worker that is quicker than four reads has short ones.
        for _ in range(_READ_ATTEMPTS):
            since = page.words[Word.ACTIVITY_SINCE_NS]
            words = page.read_words()
            if page.words[Word.ACTIVITY_SINCE_NS] == since:
                break
        return PageReading(int(clock.monotonic() * 1e9), words)
    finally:
        page.close()


def _read_last_error(path: Path) -> str | None:
    try:
        text = read_own(path)[:_LAST_ERROR_BYTES].decode(errors="replace").strip()
    except (OSError, NotPrivate):
        return None  # there is none; or it cannot be read, which is no loss: reports say the same
    return text or None


def _read_edge(run_dir: Path, edge: EdgeLayout) -> EdgeReading:
    return EdgeReading(edge, tuple(look(run_dir / queue) for queue in edge.queues))
