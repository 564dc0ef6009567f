"""Reading checkpoints whole."""

from __future__ import annotations

from checkpoints.cuts import holder, take
from penstock.checkpoints.claimed import Claimed, claim
from penstock.checkpoints.history import read_log
from penstock.checkpoints.memory_store import MemoryStore
from penstock.checkpoints.verify import verify


def _store(checkpoints: int) -> tuple[MemoryStore, Claimed]:
    store = MemoryStore()
    claimed = claim(store, holder())
    for turn in range(checkpoints):
        take(claimed, b"log " * (turn + 1), b"queue %d" % turn)
    return store, claimed


def test_what_checkpoints_share_is_read_once():
    store, claimed = _store(3)
    verdicts = list(verify(store, read_log(store).found))
    assert [verdict.problems for verdict in verdicts] == [(), (), ()]
    every = {chunk for manifest in claimed.manifests for chunk in manifest.cut.chunks()}
    assert sum(verdict.read_bytes for verdict in verdicts) == sum(chunk.length for chunk in every)


def test_damage_is_told_for_each_checkpoint_that_it_concerns():
    store = MemoryStore()
    claimed = claim(store, holder())
    take(claimed, b"x" * 100, b"one")
    take(claimed, b"x" * 110, b"two")
    (shared,) = claimed.manifests[0].files & claimed.manifests[1].files
    store.files[f"files/{shared}"] = b"y" * 100
    for verdict in verify(store, read_log(store).found):
        assert verdict.problems == (f"its file {shared} does not hold what was written at 0",)


def test_checkpoints_that_a_run_deletes_meanwhile_are_not_damaged():
    store, claimed = _store(3)
    found = read_log(store).found
    claimed.retain(1)
    take(claimed, b"log " * 5, b"queue")
    assert [verdict.number for verdict in verify(store, found)] == [4]
