"""Queues: what is damaged is told by name, what was read is a copy, what cannot be reserved is refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mounted import mounted
from penstock.channel.frame import HEADER_BYTES, Header, Kind, space
from penstock.channel.ring import CONTROL_BYTES, RingReader, RingWriter, create_ring
from penstock.errors import QueueDamaged
from penstock.mapped_file import by_mapping

CAPACITY = 512


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "queue"
    create_ring(path, CAPACITY)
    return path


def append(writer: RingWriter, *payloads: bytes) -> None:
    for payload in payloads:
        writer.append_nowait(Header(Kind.BATCH, 1, writer.sequence), payload)
    writer.publish()


def read_all(path: Path, head: int = 0, sequence: int = 0) -> list[bytes]:
    reader = RingReader(path, by_mapping)
    try:
        reader.restore(head, sequence, 0)
        found = []
        while reader.waiting:
            frame = reader.read_nowait()
            assert frame is not None
            found.append(frame.payload)
        return found
    finally:
        reader.close()


@pytest.fixture(scope="module")
def lapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """A queue in its second lap with two frames in it, one of which wraps around: (path, head, sequence)."""
    path = tmp_path_factory.mktemp("lapped") / "queue"
    create_ring(path, CAPACITY)
    writer, reader = RingWriter(path, by_mapping), RingReader(path, by_mapping)
    append(writer, b"a" * 300)
    reader.read_nowait()
    reader.publish()
    append(writer, b"first" * 20, b"second" * 20)
    writer.close()
    reader.close()
    return path, reader.head, reader.sequence


@given(st.integers(0, 8 * (CONTROL_BYTES + CAPACITY) - 1))
@example(8 * 8 * 8)
@example(8 * 8 * 16)
def test_a_flipped_bit_anywhere_is_told_or_changes_nothing(lapped: tuple[Path, int, int], bit: int) -> None:
    whole, head, sequence = lapped
    content = bytearray(whole.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path = whole.with_name("flipped")
    path.write_bytes(content)
    try:
        found = read_all(path, head, sequence)
    except QueueDamaged as damaged:
        assert damaged.path == path
        assert "--fresh" in str(damaged)
    else:
        assert found == [b"first" * 20, b"second" * 20]


@pytest.mark.parametrize("word", [8, 9, 11, 16, 17, 19])
def test_a_flipped_bit_of_a_cursor_never_changes_what_either_side_sees(
    lapped: tuple[Path, int, int], word: int
) -> None:
    whole, head, sequence = lapped
    path = whole.with_name("flipped")
    for bit in range(64):
        content = bytearray(whole.read_bytes())
        content[8 * word + bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            assert read_all(path, head, sequence) == [b"first" * 20, b"second" * 20]
            writer = RingWriter(path, by_mapping)
            assert writer.room() == CAPACITY - space(100) - space(120)
            writer.close()
        except QueueDamaged as damaged:
            assert "cursor" in str(damaged)
        else:
            assert word not in (8, 16)


def test_a_frame_of_an_earlier_lap_is_told(path: Path) -> None:
    writer, reader = RingWriter(path, by_mapping), RingReader(path, by_mapping)
    for _ in range(4):  # frames of 128 bytes: the fifth would overwrite the first
        append(writer, b"x" * (128 - HEADER_BYTES))
        reader.read_nowait()
    reader.publish()
    writer.tail += 128  # published without having been written
    writer.publish()
    with pytest.raises(QueueDamaged, match="checksum"):
        reader.read_nowait()
    writer.close()
    reader.close()


def test_a_frame_out_of_its_sequence_is_told(path: Path) -> None:
    writer, reader = RingWriter(path, by_mapping), RingReader(path, by_mapping)
    writer.append_nowait(Header(Kind.BATCH, 1, 5), b"")
    writer.publish()
    with pytest.raises(QueueDamaged, match="frame 5 is where frame 0 should be"):
        reader.read_nowait()
    writer.close()
    reader.close()


def test_a_tail_behind_the_head_is_told_rather_than_waited_for(path: Path) -> None:
    reader = RingReader(path, by_mapping)
    reader.restore(64, 1, 0)
    assert reader.waiting
    with pytest.raises(QueueDamaged, match="impossible"):
        reader.read_nowait()
    reader.close()


def test_a_head_beyond_the_tail_is_told_to_the_writer(path: Path) -> None:
    reader, writer = RingReader(path, by_mapping), RingWriter(path, by_mapping)
    reader.restore(64, 1, 0)
    reader.publish()
    with pytest.raises(QueueDamaged, match="outside"):
        writer.room()
    reader.close()
    writer.close()


def test_what_was_read_stays_when_the_writer_overwrites_its_place(path: Path) -> None:
    writer, reader = RingWriter(path, by_mapping), RingReader(path, by_mapping)
    append(writer, b"a" * 400)
    frame = reader.read_nowait()
    reader.publish()
    append(writer, b"b" * 400)
    assert frame is not None
    assert frame.payload == b"a" * 400
    assert isinstance(frame.payload, bytes)
    writer.close()
    reader.close()


@pytest.mark.parametrize("size", [0, 100, CONTROL_BYTES - 1, CONTROL_BYTES, CONTROL_BYTES + CAPACITY - 8])
def test_a_queue_that_was_cut_is_told_when_opened(path: Path, size: int) -> None:
    os.truncate(path, size)
    with pytest.raises(QueueDamaged, match=str(size)):
        RingReader(path, by_mapping)
    with pytest.raises(QueueDamaged, match=str(size)):
        RingWriter(path, by_mapping)


def test_what_is_not_a_queue_is_reported(path: Path) -> None:
    path.write_bytes(bytes(CONTROL_BYTES + CAPACITY))
    with pytest.raises(QueueDamaged, match="not a queue"):
        RingReader(path, by_mapping)


def test_a_queue_is_never_made_over_another(path: Path) -> None:
    with pytest.raises(FileExistsError):
        create_ring(path, CAPACITY)


def test_an_empty_queue_has_nothing_to_read(path: Path) -> None:
    reader = RingReader(path, by_mapping)
    assert not reader.waiting
    assert reader.read_nowait() is None
    reader.close()


def test_the_writer_is_woken_when_half_of_the_queue_is_free(path: Path) -> None:
    writer, reader = RingWriter(path, by_mapping), RingReader(path, by_mapping)
    append(writer, *[b"x" * (CAPACITY // 4 - HEADER_BYTES)] * 4)
    seen = [reader.half_empty]
    for _ in range(4):
        reader.read_nowait()
        assert reader.half_empty == seen[-1]  # what was only read is no room yet
        reader.publish()
        seen.append(reader.half_empty)
    assert seen == [False, False, True, True, True]
    writer.close()
    reader.close()


def test_a_queue_that_memory_cannot_hold_is_refused_when_made(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=64k") as small:
        create_ring(small.path / "fits", 16 * 1024)
        with pytest.raises(OSError) as raised:
            create_ring(small.path / "does-not", 64 * 1024)
    assert raised.value.errno == errno.ENOSPC
