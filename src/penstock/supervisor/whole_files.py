"""Which file of a run somebody has cut, removed or replaced: asked when a worker died, because it may be why.

Sizes are looked at, and what is in the heads; what the frames and records hold is checked by who reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.channel import queue_file
from penstock.channel.bell import FifoBell
from penstock.errors import FileUnusable, QueueDamaged
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.shared_file import by_calls
from penstock.slot.records import journal
from penstock.slot.records.control import Control
from penstock.slot.records.work_page import WorkPage
from penstock.supervisor.protocol import RunSpec


class WholeFiles:
    """The shared files of one run."""

    def __init__(self, run_dir: Path, spec: RunSpec) -> None:
        self._looks: list[tuple[Callable[[Path], object], Path]] = [(_control, RunPaths(run_dir).control)]
        self._looks += [(queue_file.require_whole, run_dir / name) for name in spec.queues]
        for slot in spec.slots:
            files = RunPaths(run_dir).slot(slot.group, slot.slot)
            self._looks += [(journal.require_whole, files.journal), (_work, files.work), (_bell, files.bell)]
            if spec.checkpoint is not None:
                from penstock.slot.records.durable_word import durable_number  # what most runs do without

                self._looks.append((durable_number, files.durable))
        self._looks += [(_page, run_dir / page) for stage in spec.stages for page in stage.pages]

    def damage(self) -> QueueDamaged | FileUnusable | None:
        """The first damage there is."""
        for look, path in self._looks:
            try:
                look(path)
            except (QueueDamaged, FileUnusable) as damage:
                return damage
        return None


def _control(path: Path) -> None:
    Control(path, by_calls).close()


def _work(path: Path) -> None:
    WorkPage(path, by_calls).close()


def _bell(path: Path) -> None:
    FifoBell(path, by_calls).close()


def _page(path: Path) -> None:
    Page(path, by_calls, writable=False).close()
