"""The journal: a commit happened or it did not, whatever byte its process died at; damage is told by name."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import QueueDamaged
from penstock.mapped_file import by_mapping
from penstock.slot.records import journal as journal_module
from penstock.slot.records.journal import Journal, create_journal
from penstock.slot.records.record import (
    Counts,
    InputRecord,
    OutputRecord,
    Record,
    SplitRecord,
    StageRecord,
    decode_record,
    encode_record,
)

HEAD_BYTES = 64
HALF = 512
numbers = st.integers(0, 2**47)
small = st.integers(0, 2**40)


@st.composite
def records(draw: st.DrawFn) -> Record:
    names = st.text(max_size=4)
    stage = StageRecord(
        draw(st.dictionaries(names, st.builds(InputRecord, small, small, small, small, st.booleans()), max_size=3)),
        draw(st.dictionaries(names, st.builds(OutputRecord, small, small, small), max_size=3)),
        Counts(draw(small), draw(small)),
        draw(st.dictionaries(names, st.builds(SplitRecord, small, st.booleans()), max_size=2)),
        draw(st.one_of(st.none(), small, st.text(max_size=5))),
        draw(st.dictionaries(names, small, max_size=2)), draw(small), draw(st.booleans()),
    )
    logs = draw(st.dictionaries(names, st.lists(small, max_size=2), max_size=3))
    return Record(draw(numbers), logs, "run", [stage])


def numbered(number: int, filler: int = 0) -> Record:
    return Record(number, logs={"letters": [number * 10]}, stages=[StageRecord(sink_position="x" * filler)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    create_journal(path, numbered(0), HALF)
    journal = Journal(path, by_mapping)
    yield journal
    journal.close()


def load(path: Path) -> Record:
    journal = Journal(path, by_mapping)
    try:
        return journal.load()
    finally:
        journal.close()


@given(records())
def test_a_record_comes_back_with_every_field(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@given(records())
def test_a_new_journal_holds_its_first_record(record: Record) -> None:
    with tempfile.TemporaryDirectory() as folder:
        create_journal(Path(folder) / "journal", record)
        assert load(Path(folder) / "journal") == record


def test_every_commit_is_what_a_successor_loads(journal: Journal, path: Path) -> None:
    for number in range(1, 20):
        journal.commit(numbered(number))
        assert load(path) == numbered(number)


@given(st.integers(1, 9), st.integers(0, 200), st.data())
def test_a_commit_cut_off_at_any_byte_has_not_happened(number: int, filler: int, data: st.DataObject) -> None:
    """Any subset of the record's bytes may have arrived; the selector is one word, stored last."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        create_journal(path, numbered(0), HALF)
        journal = Journal(path, by_mapping)
        for earlier in range(1, number):
            journal.commit(numbered(earlier))
        before = path.read_bytes()
        journal.commit(numbered(number, filler))
        after = path.read_bytes()
        journal.close()

        changed = [i for i in range(HEAD_BYTES, len(before)) if before[i] != after[i]]
        cut = data.draw(st.integers(0, len(changed)))
        arrived = changed[:cut] if data.draw(st.booleans()) else data.draw(st.sets(st.sampled_from(changed)))
        torn = bytearray(before)
        for index in arrived:
            torn[index] = after[index]
        path.write_bytes(torn)
        assert load(path) == numbered(number - 1)
        torn[HEAD_BYTES:] = after[HEAD_BYTES:]
        torn[:HEAD_BYTES] = after[:HEAD_BYTES]
        path.write_bytes(torn)
        assert load(path) == numbered(number, filler)


def test_a_commit_changes_nothing_of_the_record_that_counts(journal: Journal, path: Path) -> None:
    journal.commit(numbered(1))
    before = path.read_bytes()
    journal.commit(numbered(2, 300))
    after = path.read_bytes()
    live = HEAD_BYTES + HALF  # record 1 stands in the second half
    assert before[live:] == after[live:]


def test_the_selector_is_flipped_by_one_aligned_store_after_the_record(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores: list[tuple[str, bytes]] = []

    class Words:
        def __setitem__(self, index: int, value: int) -> None:
            stores.append((f"word {index}", path.read_bytes()[HEAD_BYTES:]))

        def release(self) -> None:
            """As a memoryview has it."""

    real = journal._words
    monkeypatch.setattr(journal, "_words", Words())
    journal.commit(numbered(1))
    monkeypatch.setattr(journal, "_words", real)
    assert [name for name, _ in stores] == ["word 4"]
    assert encode_record(numbered(1)) in stores[0][1]


def test_a_record_too_large_for_a_half_makes_the_journal_grow(journal: Journal, path: Path) -> None:
    sizes = [path.stat().st_size]
    for number in range(1, 6):
        journal.commit(numbered(number, 400 * number))
        assert load(path) == numbered(number, 400 * number)
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


@pytest.mark.parametrize("died", ["while it was written", "before the rename"])
def test_growing_that_was_cut_off_has_not_happened(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, died: str
) -> None:
    journal.commit(numbered(1))

    class Died(BaseException):
        """As a kill: nothing that the journal catches."""

    def die(*args: object) -> None:
        raise Died

    monkeypatch.setattr(os, "pwrite" if died == "while it was written" else "rename", die)
    with pytest.raises(Died):
        journal.commit(numbered(2, 5000))
    monkeypatch.undo()
    assert path.with_name("journal.new").exists()
    successor = Journal(path, by_mapping)
    assert successor.load() == numbered(1)
    successor.commit(numbered(2, 5000))
    assert load(path) == numbered(2, 5000)
    successor.close()
    journal._open()  # for the fixture to close


@given(st.integers(1, 40), st.integers(2, 40))
def test_a_newer_record_is_taken_over_whatever_its_number(number: int, ahead: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        create_journal(path, numbered(number), HALF)
        journal = Journal(path, by_mapping)
        journal.advance(numbered(number + ahead, 2000))
        assert load(path) == numbered(number + ahead, 2000)
        journal.commit(numbered(number + ahead + 1))
        journal.close()
        assert load(path) == numbered(number + ahead + 1)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_flipped_bit_is_told_and_never_another_record(journal: Journal, path: Path, number: int) -> None:
    for commit in range(1, number + 1):
        journal.commit(numbered(commit))
    whole = path.read_bytes()
    live = HEAD_BYTES + (number & 1) * HALF
    read = [*range(24), *range(32, 40), *range(live, live + 8 + len(encode_record(numbered(number))))]
    told = 0
    for bit in (8 * byte + bit for byte in read for bit in range(8)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.with_name("flipped").write_bytes(flipped)
        with pytest.raises(QueueDamaged):
            load(path.with_name("flipped"))
        told += 1
    assert told > 500


@pytest.mark.parametrize("size", [0, 63, 64, 1000])
def test_a_journal_that_was_cut_is_told(journal: Journal, path: Path, size: int) -> None:
    copy = path.with_name("cut")
    copy.write_bytes(path.read_bytes()[:size])
    with pytest.raises(QueueDamaged, match=str(size)):
        Journal(copy, by_mapping)


def test_a_journal_of_another_version_is_told(path: Path) -> None:
    create_journal(path, numbered(0))
    with path.open("r+b") as file:
        file.seek(8 * journal_module._W_VERSION)
        file.write((99).to_bytes(8, sys.byteorder))
    with pytest.raises(QueueDamaged, match="version"):
        Journal(path, by_mapping)


def test_a_journal_of_another_version_is_refused_by_its_version(path: Path) -> None:
    create_journal(path, numbered(0), HALF)
    data = bytearray(path.read_bytes())
    data[8:16] = (1).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(QueueDamaged, match=r"format 1, and this version of penstock reads format 4: finish the run"):
        Journal(path, by_mapping)


def test_a_record_of_before_there_were_versions_is_refused() -> None:
    """It began with the array of seven fields that it was."""
    with pytest.raises(msgspec.MsgspecError, match="another version"):
        decode_record(msgspec.msgpack.encode([0, 0, 0, 0, 0, "run", []]))
