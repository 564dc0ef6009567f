"""Where everything stands in a run directory. Names only: nothing here touches a disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from penstock.plan.plan import EdgePlan, Plan


def channel_name(edge: EdgePlan, sender: int, receiver: int) -> str:
    """The name of the queue between two slots, for files, records and people."""
    return f"{edge.name}.{sender}-{receiver}"


class SlotPaths(msgspec.Struct, frozen=True):
    """The files of one slot."""

    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def lock(self) -> Path:
        """Held by the living worker."""
        return self.folder / "lock"

    @property
    def bell(self) -> Path:
        return self.folder / "bell"

    @property
    def work(self) -> Path:
        """Which row is in progress."""
        return self.folder / "work"

    @property
    def retries(self) -> Path:
        return self.folder / "retries"

    @property
    def changelog(self) -> Path:
        """The state of keyed stages; a number behind it for each segment."""
        return self.folder / "changelog"

    @property
    def durable(self) -> Path:
        """Which of its commits a checkpoint covers, where there is a store."""
        return self.folder / "durable"

    @property
    def state_store(self) -> Path:
        """What a stage does not keep in memory of its state: an index of the changelog, which can be made anew."""
        return self.folder / "state"

    @property
    def failure(self) -> Path:
        """Why the worker gave up, for the supervisor."""
        return self.folder / "failure"

    @property
    def stdout(self) -> Path:
        """FIFO of what the `stdout` sink prints."""
        return self.folder / "stdout"

    @property
    def log(self) -> Path:
        """FIFO of everything else that the worker prints."""
        return self.folder / "log"


class RunPaths(msgspec.Struct, frozen=True):
    """The files of one run."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor."""
        return self.root / "lock"

    @property
    def manifest(self) -> Path:
        """Who made this directory, for which layout."""
        return self.root / "manifest.json"

    @property
    def layout(self) -> Path:
        """Stages, edges and their files, for readers of the status."""
        return self.root / "layout.json"

    @property
    def phase(self) -> Path:
        return self.root / "phase"

    @property
    def settled(self) -> Path:
        """There when all of a left run has reached the disk."""
        return self.root / "settled"

    @property
    def program(self) -> Path:
        """The pickled plan."""
        return self.root / "plan.pickle"

    @property
    def splits(self) -> Path:
        return self.root / "splits"

    @property
    def membership(self) -> Path:
        """How many slots each stage has, and who owns which keys."""
        return self.root / "membership"

    @property
    def lifeline(self) -> Path:
        """FIFO whose only writer is the supervisor."""
        return self.root / "lifeline"

    @property
    def control(self) -> Path:
        """Words by which the supervisor speaks to all workers."""
        return self.root / "control"

    @property
    def last_errors(self) -> Path:
        return self.root / "last_error"

    @property
    def caller_bell(self) -> Path:
        """The bell of the calling process, where it reads results."""
        return self.root / "caller" / "bell"

    @property
    def caller_journal(self) -> Path:
        """Where the calling process stands in the results that it reads."""
        return self.root / "caller" / "journal"

    @property
    def claims(self) -> Path:
        """The files by which this run claims what it writes to."""
        return self.root / "claims"

    @property
    def spec(self) -> Path:
        """What the supervisor is told."""
        return self.root / "spec"

    @property
    def checkpoint_state(self) -> Path:
        """How checkpoints get on."""
        return self.root / "checkpoints.json"

    @property
    def checkpoint_bell(self) -> Path:
        """FIFO that the checkpointer sleeps on."""
        return self.root / "checkpoint.bell"

    @property
    def checkpoint_requests(self) -> Path:
        """Folder of savepoints that are asked for."""
        return self.root / "savepoints"

    def slot(self, group: str, slot: int) -> SlotPaths:
        return SlotPaths(self.root / "slots" / f"{group}.{slot}")

    def page(self, plan: Plan, stage: str, slot: int) -> Path:
        """The page of one stage in one slot."""
        return self.slot(plan.stages[stage].slot_group, slot).folder / f"{stage}.page"

    def bell(self, plan: Plan, stage: str, slot: int) -> Path:
        """The bell of whoever sits in a stage's slot."""
        if plan.stages[stage].caller:
            return self.caller_bell
        return self.slot(plan.stages[stage].slot_group, slot).bell

    def queue(self, edge: EdgePlan, sender: int, receiver: int) -> Path:
        """`->` and `#` of the edge's name are no trouble in a file's name."""
        return self.root / "queues" / channel_name(edge, sender, receiver)
