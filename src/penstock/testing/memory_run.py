"""A plan run in this very process: the workers' own loop, over files in memory, one slot after the other.

No queue, log or clock of it is shared with anything outside. The clock stands still while there is something to do,
and is then moved on to what is due next: a retry, the end of a `Pause`.
"""

from __future__ import annotations

import heapq
import time
from pathlib import Path
from typing import Final

from msgspec.structs import asdict

from penstock.channel.bell import create_word
from penstock.channel.queue_file import create_queue
from penstock.dead_letter_frames import read_forward
from penstock.dead_letter_store import letters_file, letters_folder
from penstock.dead_letters import DeadLetter, letter_of
from penstock.engine.run_spec import queue_files, slot_files
from penstock.errors import PipelineFailed
from penstock.memory_files import MemoryFiles
from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan, StagePlan
from penstock.plan.topology import Topology, with_splits
from penstock.report import Outcome as End
from penstock.report import Report, StageReport
from penstock.slot.process.stops import StageFailed, Trouble
from penstock.slot.process.user_errors import one_line, user_traceback
from penstock.slot.records.control import Control
from penstock.slot.records.journal import create_journal, load_record
from penstock.slot.records.life import Life
from penstock.slot.records.record import Counts
from penstock.slot.records.work_page import WorkPage
from penstock.testing.clock import ManualClock
from penstock.testing.memory_ends import MemorySink, in_memory
from penstock.testing.memory_slot import MemorySlot
from penstock.testing.memory_world import world_in_memory
from penstock.testing.outcome import Outcome
from penstock.testing.slots_in_turn import SlotsInTurn, downstream_first

RUN_ID: Final = "test"
_PLACE: Final = Path("/in-memory")
"""Names what is nowhere."""


def run_in_memory(plan: Plan) -> Outcome:
    """Run a plan whose sources are scripted and whose sinks are lists. Raises `PipelineFailed`."""
    clock = ManualClock()
    plan = in_memory(plan, clock)
    splits = {s.name: dict(s.source.splits()) for s in plan.stages.values() if s.source is not None}
    return _MemoryRun(Topology.first(with_splits(plan, splits)), clock).run()


class _MemoryRun:
    """One run."""

    def __init__(self, topology: Topology, clock: ManualClock) -> None:
        self._topology = topology
        self._began = time.monotonic()
        self._files = MemoryFiles()
        self._paths = RunPaths(_PLACE / "run")
        self._letters = letters_folder(_PLACE / "state", topology.plan.pipeline, RUN_ID)
        self._make_files()
        self._turns = SlotsInTurn(clock)
        world = world_in_memory(self._paths, self._files, clock, self._turns.give_way)
        self._slots = [
            MemorySlot(topology, slot, world, Life(slot.group, slot.number, 1, RUN_ID, str(self._letters), anew=True))
            for slot in downstream_first(topology)
        ]

    def _make_files(self) -> None:
        topology, paths, files = self._topology, self._paths, self._files
        Control.create(paths.control, files)
        for queue in queue_files(topology, paths):
            create_queue(queue.path, queue.capacity, files)
        for slot in slot_files(topology, paths):
            create_journal(slot.journal, slot.record, files=files)
            for page in slot.pages:
                Page.create(page, files)
            WorkPage.create(paths.slot(slot.group, slot.number).work, files)
            create_word(paths.slot(slot.group, slot.number).bell, files)

    def run(self) -> Outcome:
        """To the end."""
        try:
            for slot in reversed(self._slots):
                slot.open()
            self._turns.run(self._slots)
        except StageFailed as failed:
            raise self._failed(failed.stage, failed.reason, failed.traceback) from failed
        except Trouble as trouble:
            error, what = trouble.error, trouble.what
            reason = f"{what}: {one_line(error)}" if what else one_line(error)
            raise self._failed(trouble.stage, reason, user_traceback(error)) from error
        finally:
            for slot in self._slots:
                slot.close()
        outputs = {
            name: stage.sink.rows
            for name, stage in self._topology.plan.stages.items() if isinstance(stage.sink, MemorySink)
        }
        return Outcome(outputs, tuple(self._dead_letters()), self._report("finished"))

    def _failed(self, stage: str, reason: str, traceback: str) -> PipelineFailed:
        return PipelineFailed(stage, reason, traceback, self._report("failed"))

    # What there is to see at the end.

    def _dead_letters(self) -> list[DeadLetter]:
        stores = [letters_file(self._letters, slot.group, slot.number) for slot in self._topology.slots()]
        frames = [read_forward(path, self._files) for path in stores if self._files.exists(path)]
        return [letter_of(frame.record()) for frame in heapq.merge(*frames, key=lambda frame: frame.summary.time_s)]

    def _report(self, outcome: End) -> Report:
        plan = self._topology.plan
        stages = {name: self._stage_report(stage) for name, stage in plan.stages.items()}
        return Report(plan.pipeline, outcome, time.monotonic() - self._began, stages, 0)

    def _stage_report(self, stage: StagePlan) -> StageReport:
        """By the journals of its slots, as the engine's report is."""
        topology, counts, busy_ns, restarts = self._topology, Counts(), 0, 0
        at = [one.name for one in topology.plan.slot_groups()[stage.slot_group]].index(stage.name)
        for slot in self._slots:
            if slot.group != stage.slot_group:
                continue
            record = load_record(self._paths.slot(stage.slot_group, slot.number).journal, self._files.share)
            mine = record.stages[at].counts
            counts = Counts(**{name: count + getattr(mine, name) for name, count in asdict(counts).items()})
            page = Page(self._paths.page(topology.plan, stage.name, slot.number), self._files.share, writable=False)
            busy_ns += int(page.words[Word.BUSY_NS])
            restarts += slot.restarts
        return StageReport(
            stage.name, counts.rows_in, counts.rows_out, counts.retries, counts.dead_letters, counts.skipped, restarts,
            busy_ns / 1e9, counts.late,
        )
