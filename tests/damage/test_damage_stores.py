"""Files that rows wait or end in, whatever was done to them: each row as it was, or the file is named."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_damage_frames import EDITS, Edit, edited

from penstock.channel.bell import FifoBell, create_bell
from penstock.channel.codec import Codec, RowCodec
from penstock.channel.frame import Header, Kind
from penstock.channel.queue import QueueReader
from penstock.channel.ring import RingWriter, create_ring
from penstock.channel.side_file import SideFiles
from penstock.dead_letter_frames import DeadLetterRecord, encode_frame
from penstock.dead_letter_record import new_record
from penstock.dead_letter_store import read_file
from penstock.engine import rundir
from penstock.engine.rundir import Manifest, encode_manifest, read_manifest
from penstock.errors import PenstockError, QueueDamaged
from penstock.mapped_file import by_mapping
from penstock.run_files import read_checked, write_checked
from penstock.slot.input.queue_inputs import QueueInput
from penstock.slot.records.dead_letter_file import DeadLetterFile
from penstock.slot.records.retries import RetryFile


@given(rows=st.lists(st.binary(max_size=100), min_size=1, max_size=8), edits=EDITS)
def test_a_retry_file_gives_every_row_that_waits_or_is_named(
    rows: list[bytes], edits: list[Edit], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("retries") / "retries"
    file = RetryFile(base)
    for row in rows:
        file.add(stage=0, due_s=0.0, attempts=1, row=pickle.dumps(row), key="", ingest_ns=0)
        file.flush()
    done = file.take_due(1.0)
    assert done is not None
    file.through(done.number)
    committed = file.flush()
    file.close()
    path = base.with_name(f"retries.{committed[0]}")
    path.write_bytes(edited(path.read_bytes(), edits))
    try:
        again = RetryFile(base, committed)
    except QueueDamaged as damaged:
        assert damaged.path == path
        return
    waiting = []
    while (row := again.take_due(1.0)) is not None:
        waiting.append(row.load())
        again.through(row.number)
    again.close()
    assert waiting == rows[1:]


@given(payload=st.binary(max_size=3000), edits=EDITS)
def test_a_side_file_gives_what_was_written_or_is_named(
    payload: bytes, edits: list[Edit], tmp_path_factory: pytest.TempPathFactory
) -> None:
    sides = SideFiles(tmp_path_factory.mktemp("sides") / "queue")
    ticket = sides.write(3, payload)
    [path] = sides.outstanding()
    path.write_bytes(edited(path.read_bytes(), edits))
    try:
        assert sides.read(3, ticket) == payload
    except QueueDamaged as damaged:
        assert damaged.path == path


def record(row: int) -> DeadLetterRecord:
    return new_record(
        pipeline="p", stage="s", slot=0, operator="o", time_s=1.0, attempts=1, error="e", traceback="t", row=row
    )


def letters(rows: list[int]) -> list[bytes]:
    return [encode_frame(record(row)) for row in rows]


def shown(path: Path) -> tuple[list[str], bool]:
    """The letters that are given, and whether damage is told behind them."""
    found: list[str] = []
    try:
        for letter in read_file(path):
            found.append(letter.row_repr)
    except PenstockError as error:
        assert str(path) in str(error)
        return found, True
    return found, False


@given(flips=st.lists(st.integers(0, 2**20), min_size=1, max_size=4, unique=True))
def test_a_flipped_bit_of_the_dead_letters_is_told_and_none_goes_missing(
    flips: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The length has a checksum of its own: else all behind a damaged one would look like a letter half written."""
    path = tmp_path_factory.mktemp("store") / "a.0.dl"
    data = bytearray(b"".join(letters([1, 2, 3, 4])))
    for bit in flips:
        data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)
    found, told = shown(path)
    same = bytes(data) == b"".join(letters([1, 2, 3, 4]))
    assert told is not same
    assert found == ["1", "2", "3", "4"][: len(found)]


@given(edits=EDITS)
def test_dead_letters_are_given_as_they_were_whatever_was_done_to_their_file(
    edits: list[Edit], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("store") / "a.0.dl"
    path.write_bytes(edited(b"".join(letters([1, 2, 3, 4])), edits))
    found, _ = shown(path)
    assert set(found) <= {"1", "2", "3", "4"}


@given(size=st.integers(0, 2000))
def test_letters_behind_a_cut_are_whole(size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("store") / "a.0.dl"
    frames = letters([1, 2, 3, 4])
    data = b"".join(frames)
    path.write_bytes(data[:size])
    file = DeadLetterFile(path, [len(data)])
    file.append(record(9))
    file.flush()
    file.close()
    found, told = shown(path)
    whole = sum(size >= sum(map(len, frames[: index + 1])) for index in range(4))
    assert (found, told) == ([*["1", "2", "3", "4"][:whole], "9"], False)


class Point(msgspec.Struct):
    x: int
    y: str


@given(
    codec=st.sampled_from([Codec.TYPED, Codec.PLAIN, Codec.PICKLE, Codec.JOINED, 0, 77]), payload=st.binary(max_size=60)
)
def test_what_cannot_be_decoded_is_named_by_its_queue(
    codec: int, payload: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Behind the checksum: it fits by a chance of one in four thousand million, or a class was renamed meanwhile."""
    folder = tmp_path_factory.mktemp("codec")
    path = folder / "queue"
    create_ring(path, 1024)
    create_bell(folder / "bell")
    writer = RingWriter(path, by_mapping)
    writer.append_nowait(Header(Kind.BATCH, 1, 0, codec), payload)
    writer.publish()
    bell = FifoBell(folder / "bell", by_mapping)
    queue = QueueInput(QueueReader(path, by_mapping, bell), RowCodec(Point), "queue")
    try:
        frame = queue.queue.read_nowait()
        assert frame is not None
        queue.decoded(frame, None, 0)
    except QueueDamaged as damaged:
        assert damaged.path == path
        assert "frame 0 cannot be decoded" in str(damaged)
    except MemoryError:
        assert codec == Codec.PICKLE  # a length of exabytes: told as what it looks like, a lack of memory
    finally:
        writer.close()
        queue.queue.close()


@given(data=st.binary(max_size=200), edits=EDITS)
def test_small_files_are_read_as_written_or_named(
    data: bytes, edits: list[Edit], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("checked") / "splits"
    write_checked(path, "the list of splits", data)
    path.write_bytes(edited(path.read_bytes(), edits))
    try:
        assert read_checked(path, "the list of splits") == data
    except QueueDamaged as damaged:
        assert damaged.path == path


@given(edits=EDITS)
def test_a_manifest_is_read_as_written_or_named(edits: list[Edit], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("run")
    written = Manifest("p", "me", "/here", "20260101T000000-abcdef", 1.5, "boot", {"stage": "a"}, "/state")
    path = folder / "manifest.json"
    path.write_bytes(edited(encode_manifest(written), edits))
    try:
        found = read_manifest(folder)
    except QueueDamaged as damaged:
        assert damaged.path == path
    else:
        assert found is not None
        assert msgspec.structs.replace(found, check=0) == written


def test_a_flipped_bit_of_a_manifest_is_told(tmp_path: Path) -> None:
    """With another run id, rows that a database holds already would be written to it again."""
    written = encode_manifest(Manifest("p", "me", "/here", "20260101T000000-abcdef", 1.5, "boot", {"a": "b"}, "/s"))
    for bit in range(8 * len(written)):
        data = bytearray(written)
        data[bit // 8] ^= 1 << bit % 8
        (tmp_path / "manifest.json").write_bytes(data)
        try:
            found = read_manifest(tmp_path)
        except QueueDamaged:
            continue
        assert found is not None and encode_manifest(found) == written


def test_a_damaged_manifest_does_not_hide_other_runs(tmp_path: Path) -> None:
    for name, damaged in (("good-1", False), ("bad-2", True)):
        folder = tmp_path / name
        lock = rundir.lock_run_dir(folder)
        (folder / "manifest.json").write_bytes(
            b"{" if damaged else encode_manifest(Manifest("good", "me", "/", "r", 1.0, "b", {}, "/s"))
        )
        os.close(lock)
    found = {run.name: run.phase for run in rundir.find_runs(tmp_path)}
    assert found == {"good": "starting", "bad": "damaged"}
    for run in rundir.find_runs(tmp_path):
        rundir.remove(run)
    assert rundir.find_runs(tmp_path) == []
