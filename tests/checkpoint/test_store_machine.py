"""Processes that claim a store, add checkpoints, fail, are killed, sleep and come back as zombies, in any order.

What must hold whenever somebody looks: every checkpoint that counts is whole, the newest one that a process was told
is there and nothing before it comes back, and a process that was told of success was not fenced off.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from checkpoint.cuts import held, holder, take
from checkpoint.faulty_store import Fault, FaultyStore, Killed
from penstock.checkpoint.claimed import Claimed, claim
from penstock.checkpoint.directory_store import DirectoryStore
from penstock.checkpoint.history import newest_first, read_log
from penstock.checkpoint.memory_store import MemoryStore
from penstock.checkpoint.store import CheckpointStore
from penstock.errors import StoreTaken, StoreUnavailable

_FAULTS: list[Fault] = ["", "", "", "fails before", "fails after", "killed before", "killed after"]
faults = st.lists(st.sampled_from(_FAULTS), max_size=12)


class Process:
    """A process with its own way to the store."""

    def __init__(self, inner: CheckpointStore, number: int) -> None:
        self.store = FaultyStore(inner)
        self.number = number
        self.claimed: Claimed | None = None
        self.log = b""


class Stores(RuleBasedStateMachine):
    """Over any store."""

    processes = Bundle("processes")

    def open_store(self) -> CheckpointStore:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.count = 0
        self.turn = 0
        self.contents: dict[str, tuple[bytes, bytes]] = {}
        """What each checkpoint must hold, by its queue: every one has another."""
        self.told = 0
        """The newest checkpoint that a process was told of."""
        self.newest_claim = 0
        self.saved: set[int] = set()

    @rule(target=processes)
    def start(self) -> Process:
        self.count += 1
        return Process(self.open_store(), self.count)

    @rule(process=processes, faults=faults)
    def claims(self, process: Process, faults: list[Fault]) -> None:
        if process.store.dead:
            return
        process.store.faults = iter(faults)
        process.claimed = None
        try:
            process.claimed = claim(process.store, holder(process.number))
        except (StoreUnavailable, Killed):
            return
        assert process.claimed.lineage > self.newest_claim, "claims grow"
        self.newest_claim = process.claimed.lineage
        manifests = process.claimed.manifests
        assert not self.told or manifests[-1].number >= self.told, "who claims finds what others were told"
        process.log = held(process.store.inner, manifests[-1])[0] if manifests else b""

    @rule(process=processes, growth=st.integers(0, 40), savepoint=st.booleans(), faults=faults)
    def takes(self, process: Process, growth: int, savepoint: bool, faults: list[Fault]) -> None:
        if process.claimed is None or process.store.dead:
            return
        process.store.faults = iter(faults)
        self.turn += 1
        process.log += b"%06d" % self.turn * growth
        queue = b"queue %d" % self.turn
        self.contents[queue.decode()] = (process.log, queue)
        try:
            manifest = take(process.claimed, process.log, queue, savepoint=savepoint)
        except (StoreUnavailable, Killed):
            return
        except StoreTaken:
            assert self.newer_claim_than(process.claimed.lineage), "only a newer claim refuses"
            return
        assert manifest.number > self.told
        assert process.claimed.lineage >= self.newest_claim, "a zombie is never told of success"
        self.told = manifest.number
        self.saved |= {manifest.number} if savepoint else set()

    @rule(process=processes, keep=st.integers(1, 3), faults=faults)
    def retains(self, process: Process, keep: int, faults: list[Fault]) -> None:
        if process.claimed is None or process.store.dead:
            return
        process.store.faults = iter(faults)
        try:
            process.claimed.retain(keep)
        except (StoreUnavailable, Killed):
            pass
        except StoreTaken:
            assert self.newer_claim_than(process.claimed.lineage)

    @rule(process=consumes(processes))
    def is_gone(self, process: Process) -> None:
        process.store.dead = True

    @invariant()
    def checkpoints_are_whole(self) -> None:
        store = self.open_store()
        reading = read_log(store)
        assert not reading.problems
        for manifest in reading.manifests:
            found = held(store, manifest)
            assert found == self.contents[found[1].decode()], "a checkpoint holds what was put into it"
        assert self.saved <= {manifest.number for manifest in reading.manifests}, "savepoints stay"
        if self.told:
            newest = next(newest_first(store))
            assert newest.number >= self.told, "the newest is not lost"

    def newer_claim_than(self, lineage: int) -> bool:
        newest = read_log(self.open_store()).claim
        return newest is not None and newest.number > lineage


class MemoryStores(Stores):
    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}

    def open_store(self) -> CheckpointStore:
        return MemoryStore(self.files)


class DirectoryStores(Stores):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    def open_store(self) -> CheckpointStore:
        return DirectoryStore(Path(self.folder.name).resolve() / "store", "clicks")

    def teardown(self) -> None:
        self.folder.cleanup()


TestMemoryStores = MemoryStores.TestCase
TestMemoryStores.settings = settings(max_examples=150, stateful_step_count=30)
TestDirectoryStores = DirectoryStores.TestCase
TestDirectoryStores.settings = settings(max_examples=30, stateful_step_count=20)
TestDirectoryStores.pytestmark = [pytest.mark.timeout(300)]
