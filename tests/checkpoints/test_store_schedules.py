"""Processes that claim a store, add checkpoints, fail, are killed, sleep and come back as zombies, in any order.

What must hold whenever somebody looks: every checkpoint that counts is whole, the newest one that a process was told
of is there, nothing before it comes back, and a process that was told of success had not been fenced off.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints.cuts import held, holder, take
from checkpoints.faulty_store import METHODS, Fault, FaultyStore, Killed
from penstock.checkpoints.claimed import Claimed, claim
from penstock.checkpoints.directory_store import DirectoryStore
from penstock.checkpoints.finished import mark_finished
from penstock.checkpoints.history import newest_first, read_log
from penstock.checkpoints.memory_store import MemoryStore
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import StoreTaken, StoreUnavailable

PROCESSES = 3


@dataclass(frozen=True)
class Step:
    """What one of the processes does."""

    what: str
    process: int
    growth: int
    fault: Fault | None


_faults = st.builds(
    Fault, st.sampled_from(METHODS), st.integers(0, 2),
    st.sampled_from(["fails after", "fails before", "killed before", "killed after"]),
)
_WHAT = [*["take"] * 4, *["take and retain"] * 3, "savepoint", "claim", "restart", "finish", "start over"]
_steps = st.lists(
    st.builds(
        Step, st.sampled_from(_WHAT), st.integers(0, PROCESSES - 1), st.integers(0, 30),
        st.one_of(st.none(), st.none(), _faults),
    ),
    min_size=10, max_size=60,
)


@dataclass
class Process:
    """With its own way to the store."""

    store: FaultyStore
    number: int
    claimed: Claimed | None = None
    log: bytes = b""
    last: int = 0
    """The checkpoint that it made last, under its claim."""


class World:
    """A store, its processes, and what they were told."""

    def __init__(self, open_store: Callable[[], CheckpointStore]) -> None:
        self.open_store = open_store
        self.count = self.turn = 0
        self.contents: dict[bytes, tuple[bytes, bytes]] = {}
        """What each checkpoint must hold, by its queue: every one has another."""
        self.told = self.newest_claim = 0
        """The newest that a process was told of."""
        self.over = self.perhaps_over = 0
        """Those up to this number are of runs that are over; or may be, for all that was heard of it."""
        self.saved: set[int] = set()
        self.processes = [self._born() for _ in range(PROCESSES)]

    def _born(self) -> Process:
        self.count += 1
        return Process(FaultyStore(self.open_store()), self.count)

    def go(self, step: Step) -> None:
        process = self.processes[step.process]
        if process.store.dead or step.what == "restart":
            process = self.processes[step.process] = self._born()
        process.store.fail(step.fault)
        try:
            if process.claimed is None or step.what in ("claim", "start over"):
                self._claim(process, starts_over=step.what == "start over")
            if step.what == "finish":
                self._finish(process)
            if step.what.startswith(("take", "save")):
                self._take(process, step)
            if step.what.endswith("retain") and process.claimed is not None:
                process.claimed.retain(1 + step.growth % 2)
        except StoreTaken:
            assert process.claimed is not None
            newest = read_log(self.open_store()).claim
            assert newest is not None and newest.number > process.claimed.lineage, "only a newer claim refuses"
        except (StoreUnavailable, Killed):
            pass
        self.look()

    def _finish(self, process: Process) -> None:
        number, claimed = process.last, process.claimed
        process.claimed = None  # it adds nothing any more
        if number and claimed is not None:
            newest = claimed.lineage == self.newest_claim
            if newest:
                self.perhaps_over = max(number, self.perhaps_over)
            if mark_finished(process.store, number, claimed.lineage, 0.0):
                assert newest or self.perhaps_over >= number, "the end of a zombie is not that of others"
                self.over = max(number, self.over)

    def _claim(self, process: Process, *, starts_over: bool) -> None:
        process.claimed, process.last = None, 0
        if starts_over:
            self.perhaps_over = max(self.told, self.perhaps_over)
        claimed = process.claimed = claim(process.store, holder(process.number), starts_over=starts_over)
        if starts_over:
            self.over = max(self.told, self.over)
        assert claimed.lineage > self.newest_claim, "claims grow"
        self.newest_claim = claimed.lineage
        newest = claimed.manifests[-1] if claimed.manifests else None
        assert not self.told or newest.number >= self.told, "who claims finds what others were told"
        process.log = b"" if newest is None else held(process.store.inner, newest)[0]

    def _take(self, process: Process, step: Step) -> None:
        self.turn += 1
        process.log += b"%d." % self.turn * step.growth
        queue = b"queue %d" % self.turn
        self.contents[queue] = (process.log, queue)
        manifest = take(process.claimed, process.log, queue, savepoint=step.what == "savepoint")
        assert manifest.number > self.told, "numbers grow"
        assert process.claimed.lineage == self.newest_claim, "a zombie is never told of success"
        self.told = process.last = manifest.number
        self.saved |= {manifest.number} if manifest.savepoint else set()

    def look(self) -> None:
        store = self.open_store()
        reading = read_log(store)
        assert not reading.problems
        for manifest in reading.manifests:
            found = held(store, manifest)
            assert found == self.contents[found[1]], "a checkpoint holds what was put into it"
        assert self.saved <= {manifest.number for manifest in reading.manifests}, "savepoints stay"
        given = [manifest.number for manifest in newest_first(store)]
        assert all(number > self.over for number in given), "what is over is not resumed from"
        if self.told > self.perhaps_over:
            assert given[0] >= self.told, "the newest is not lost"


@settings(max_examples=200)
@given(_steps)
def test_whatever_processes_do_a_store_in_memory_is_right(steps):
    files: dict[str, bytes] = {}
    world = World(lambda: MemoryStore(files))
    for step in steps:
        world.go(step)
    leaves_no_garbage(world)


@pytest.mark.timeout(300)
@settings(max_examples=15)
@given(_steps)
def test_whatever_processes_do_a_store_in_a_directory_is_right(steps):
    with tempfile.TemporaryDirectory() as folder:
        world = World(lambda: DirectoryStore(Path(folder).resolve() / "store", "clicks"))
        for step in steps:
            world.go(step)
        leaves_no_garbage(world)


@pytest.mark.timeout(300)
@settings(max_examples=15)
@given(_steps)
def test_whatever_processes_do_a_store_of_objects_is_right(steps):
    pytest.importorskip("obstore")
    from obstore.store import MemoryStore as Objects

    from penstock.checkpoints.object_store import ObjectStore

    objects = Objects()
    world = World(lambda: ObjectStore(objects, "objects"))
    for step in steps:
        world.go(step)
    leaves_no_garbage(world)


def leaves_no_garbage(world: World) -> None:
    """A last claim, and a last checkpoint: nothing else is left."""
    claimed = claim(world.open_store(), holder(99))
    take(claimed, b"", b"last")
    claimed.retain(1)
    needed = {file for manifest in claimed.manifests for file in manifest.files}
    assert set(world.open_store().sizes("files")) == needed
    assert len(world.open_store().sizes("log")) == 1 + len(claimed.manifests)
