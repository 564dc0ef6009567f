"""Checkpoints of a store that processes claim one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from checkpoints.cuts import held, holder, take
from checkpoints.faulty_store import Fault, FaultyStore
from penstock.checkpoints.claimed import claim
from penstock.checkpoints.history import content, entry_name, manifest_of, newest_first, read_log
from penstock.checkpoints.memory_store import MemoryStore
from penstock.errors import CheckpointDamaged, CheckpointForeign, NoSuchCheckpoint, StoreTaken, StoreUnavailable


def test_a_checkpoint_gives_back_what_was_put_into_it():
    store = MemoryStore()
    claimed = claim(store, holder())
    take(claimed, b"one", b"queue")
    manifest = take(claimed, b"one two", b"other")
    assert held(store, manifest) == (b"one two", b"other")
    assert [found.number for found in read_log(store).found] == [2, 3]
    assert manifest_of(store, manifest.id) == manifest


def test_of_a_log_only_what_is_new_is_written():
    store = MemoryStore()
    claimed = claim(store, holder())
    take(claimed, b"x" * 100, b"")
    manifest = take(claimed, b"x" * 110, b"")
    assert manifest.own_bytes == 10
    assert manifest.content_bytes == 110


def test_a_process_whose_store_was_claimed_since_is_refused_for_good():
    store = MemoryStore()
    zombie = claim(store, holder(1))
    first = take(zombie, b"one", b"")
    successor = claim(store, holder(2))
    for _ in range(2):
        with pytest.raises(StoreTaken, match="process 2 on here"):
            take(zombie, b"two", b"")
    assert successor.manifests == [first]
    take(successor, b"three", b"")
    assert [manifest.lineage for manifest in newest_first(store)] == [successor.lineage, zombie.lineage]


def test_a_zombie_is_refused_even_where_its_number_was_deleted_since():
    store = MemoryStore()
    zombie = claim(store, holder(1))
    take(zombie, b"one", b"")
    for pid in (2, 3):
        successor = claim(store, holder(pid))
        for _ in range(3):
            take(successor, b"one more", b"")
            successor.retain(1)
    with pytest.raises(StoreTaken):
        take(zombie, b"two", b"")
    assert [manifest.lineage for manifest in newest_first(store)] == [successor.lineage]


class _SleepsBeforeItsEntry(MemoryStore):
    """Others go on while a process is about to add an entry."""

    meanwhile: Callable[[], None] | None = None

    def create(self, name: str, data: bytes) -> bool:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().create(name, data)


class _LeavesTheFirstClaim(MemoryStore):
    """Of many deletions, one does not come to pass."""

    def delete(self, names: Sequence[str]) -> None:
        super().delete([name for name in names if name != entry_name(1)])


@pytest.mark.parametrize("kind", [MemoryStore, _LeavesTheFirstClaim])
def test_a_zombie_that_slept_right_before_its_entry_is_refused_though_its_number_is_free(kind):
    store = _SleepsBeforeItsEntry()
    zombie = claim(store, holder(1))
    take(zombie, b"one", b"")

    def go_on() -> None:
        for pid in (2, 3):
            take(claim(kind(store.files), holder(pid)), b"one two", b"%d" % pid)
        assert entry_name(3) not in store.files

    store.meanwhile = go_on
    with pytest.raises(StoreTaken):
        take(zombie, b"zombie", b"")
    assert entry_name(3) in store.files, "its entry was made"
    assert [manifest.number for manifest in newest_first(store)] == [6, 4, 2], "and does not count"


def test_a_zombie_deletes_nothing():
    store = MemoryStore()
    zombie = claim(store, holder(1))
    for _ in range(3):
        take(zombie, b"one", b"")
    claim(store, holder(2))
    with pytest.raises(StoreTaken):
        zombie.retain(1)
    assert len(list(newest_first(store))) == 3


def test_files_are_deleted_with_the_last_checkpoint_that_needs_them():
    store = MemoryStore()
    claimed = claim(store, holder())
    log = b""
    for turn in range(20):
        log += bytes([turn]) * (1 + turn * 7 % 5)
        take(claimed, log, b"queue", savepoint=turn == 7)
        claimed.retain(2)
    manifests = read_log(store).manifests
    assert [manifest.savepoint for manifest in manifests] == [True, False, False]
    for manifest in manifests:
        kept, _ = held(store, manifest)
        assert kept == log[: len(kept)]
    assert set(store.sizes("files")) == {file for manifest in manifests for file in manifest.files}


def test_the_checkpoint_before_is_used_where_the_newest_is_torn(caplog):
    store = MemoryStore()
    claimed = claim(store, holder())
    first, second = take(claimed, b"one", b""), take(claimed, b"two", b"")
    store.files[entry_name(second.number)] = store.files[entry_name(second.number)][:-1]
    assert list(newest_first(store)) == [first]
    assert "checkpoint 3 is damaged: its manifest does not hold what was written" in caplog.text


def test_no_checkpoint_that_can_be_read_is_not_the_same_as_none():
    store = MemoryStore()
    assert list(newest_first(store)) == []
    manifest = take(claim(store, holder()), b"one", b"")
    store.files[entry_name(manifest.number)] = b""
    with pytest.raises(CheckpointDamaged):
        list(newest_first(store))


def test_a_manifest_of_another_version_is_named_and_its_files_stay():
    store = MemoryStore()
    claimed = claim(store, holder())
    take(claimed, b"one", b"queue")
    newer = take(claimed, b"two", b"queue")
    data = bytearray(store.files[entry_name(newer.number)])
    data[4] = 99
    store.files[entry_name(newer.number)] = bytes(data)
    with pytest.raises(CheckpointForeign, match="format 99"):
        manifest_of(store, newer.id)
    successor = claim(store, holder())
    for _ in range(3):
        take(successor, b"one", b"")
        successor.retain(1)
    assert newer.files <= set(store.sizes("files"))


def test_each_flipped_bit_of_a_manifest_is_found():
    store = MemoryStore()
    manifest = take(claim(store, holder()), b"one", b"queue")
    name = entry_name(manifest.number)
    whole = store.files[name]
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        store.files[name] = bytes(flipped)
        with pytest.raises((CheckpointDamaged, CheckpointForeign)):
            manifest_of(store, manifest.id)


@pytest.mark.parametrize("what", ["missing", "cut", "flipped"])
def test_a_damaged_file_is_named(what):
    store = MemoryStore()
    manifest = take(claim(store, holder()), b"", b"queue")
    (file,) = (f"files/{name}" for name in manifest.files)
    match what:
        case "missing":
            del store.files[file]
        case "cut":
            store.files[file] = b"que"
        case _:
            store.files[file] = b"qUeue"
    with pytest.raises(CheckpointDamaged, match=f"checkpoint {manifest.id} is damaged"):
        list(content(store, manifest, manifest.cut.channels[0].chunks))


def test_an_unknown_id_is_told():
    for wrong in ("7", "-1", "x", "²"):
        with pytest.raises(NoSuchCheckpoint, match="penstock checkpoints list"):
            manifest_of(MemoryStore(), wrong)


class _LosesAnswers(MemoryStore):
    """Does what it is told, and then says that it could not be reached."""

    losing = False

    def create(self, name: str, data: bytes) -> bool:
        created = super().create(name, data)
        if self.losing:
            raise StoreUnavailable(self.where, "the connection was lost")
        return created


def test_a_checkpoint_whose_answer_was_lost_is_one_and_the_next_comes_behind_it():
    store = _LosesAnswers()
    claimed = claim(store, holder())
    store.losing = True
    with pytest.raises(StoreUnavailable):
        take(claimed, b"one", b"queue")
    store.losing = False
    take(claimed, b"one two", b"other")
    assert [held(store, manifest) for manifest in read_log(store).manifests] == [
        (b"one", b"queue"), (b"one two", b"other"),
    ]
    claimed.retain(2)
    assert [held(store, manifest)[0] for manifest in claimed.manifests] == [b"one", b"one two"]


def test_a_checkpoint_of_which_only_the_last_look_failed_keeps_its_files():
    store = FaultyStore(MemoryStore())
    claimed = claim(store, holder())
    store.fail(Fault("sizes", 1, "fails after"))
    with pytest.raises(StoreUnavailable):
        take(claimed, b"one", b"queue")
    take(claimed, b"one two", b"other")
    claimed.retain(3)
    assert [held(store, manifest)[1] for manifest in read_log(store).manifests] == [b"queue", b"other"]


def test_what_a_killed_process_was_writing_is_removed_by_the_next_claim():
    store = MemoryStore()
    claimed = claim(store, holder())
    kept = take(claimed, b"one", b"queue")
    draft = claimed.begin()
    draft.passing([b"half"])
    draft.close()
    assert len(store.sizes("files")) == 3
    claim(store, holder())
    assert set(store.sizes("files")) == kept.files
