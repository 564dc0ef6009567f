"""Pins: what somebody copies from a queue stays as it is, whatever its ends do meanwhile, and its ends go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.byte_files import DISK
from penstock.channel import ring
from penstock.channel.frame import Header, Kind, space
from penstock.channel.kept_files import read_part, remove_kept, remove_or_keep
from penstock.channel.ring import RingReader, RingWriter, create_ring
from penstock.channel.ring_copy import PinnedRing, put_back, room_is_pinned, side_files, unpin
from penstock.errors import QueueDamaged
from penstock.mapped_file import by_mapping
from penstock.memory_files import MemoryFiles
from penstock.shared_file import SharedFile, by_calls

CAPACITY = 512
QUEUE = Path("/queue")


class Ends:
    """Both ends of a queue in memory, whose every frame is committed and published at once."""

    def __init__(self) -> None:
        self.files = MemoryFiles()
        create_ring(QUEUE, CAPACITY, self.files)
        self.writer, self.reader = RingWriter(QUEUE, self.files.share), RingReader(QUEUE, self.files.share)
        self.sent: list[bytes] = []
        self.bytes_of: dict[int, bytes] = {}

    def send(self, length: int) -> bool:
        """False: there was no room."""
        if not self.writer.has_room(space(length)):
            return False
        payload = bytes([len(self.sent) % 251]) * length
        self.writer.append_nowait(Header(Kind.BATCH, 1, self.writer.sequence), payload)
        self.writer.publish()
        self.sent.append(payload)
        return True

    def take(self) -> None:
        if self.reader.read_nowait() is not None:
            self.reader.publish()


@given(st.lists(st.tuples(st.sampled_from(["send", "send", "take", "pin", "copy", "free"]), st.integers(0, 150))))
def test_what_is_between_recorded_cursors_is_copied_as_it_was_sent(steps: list[tuple[str, int]]) -> None:
    ends, pinned, recorded = Ends(), None, (0, 0)
    for what, number in steps:
        if what == "send":
            ends.send(number)
        elif what == "take":
            ends.take()
        elif what == "pin" and pinned is None:
            pinned = PinnedRing(QUEUE, ends.files.share, 1)
            recorded = ends.reader.head, ends.writer.tail
        elif what == "copy" and pinned is not None:
            data = pinned.copy(*recorded)
            assert list(side_files(QUEUE, data, recorded[0])) == []  # which looks at each frame
        elif what == "free" and pinned is not None:
            pinned.release()
            pinned = None
    if pinned is not None:
        pinned.release()
    while ends.reader.waiting:
        ends.take()
    assert ends.send(CAPACITY - space(0))  # a pin leaves nothing behind


def test_the_writer_looks_at_the_head_first_and_at_the_pin_afterwards() -> None:
    """The other way round, it could see no pin, and then a head that was published after the pin."""
    looked: list[int] = []

    class Words:
        def __init__(self, words: Any) -> None:
            self.words = words

        def __getitem__(self, index: Any) -> Any:
            looked.append(index)
            return self.words[index]

        def __setitem__(self, index: int, value: int) -> None:
            self.words[index] = value

    ends = Ends()

    def opening(path: Path, what: str, **options: Any) -> SharedFile:
        file = ends.files.share(path, what, **options)
        file.words = Words(file.words)  # type: ignore[assignment]
        return file

    writer = RingWriter(QUEUE, opening)
    looked.clear()
    writer.room()
    assert looked.index(ring.W_HEAD) < looked.index(ring.W_PIN)


@pytest.mark.interpreted
def test_the_owner_of_a_pin_looks_at_the_head_again_after_it() -> None:
    """What was published between its first look and the pin may have been overwritten."""
    ends = Ends()
    ends.send(100)
    fence: Callable[[], None] = ring.fence

    def published_meanwhile() -> None:
        ends.take()
        fence()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring, "fence", published_meanwhile)
        pinned = PinnedRing(QUEUE, ends.files.share, 1)
    assert pinned.safe_from == ends.reader.head > 0
    with pytest.raises(QueueDamaged, match="none of its backlog"):
        pinned.copy(0, ends.writer.tail)


def test_a_pin_that_came_late_leaves_no_room_and_is_no_damage() -> None:
    """Its owner was slow: the writer had filled what was free by a head that is later than the pin."""
    ends = Ends()
    ends.send(200)
    words = ends.files.share(QUEUE, "the queue").words
    ends.take()
    assert ends.send(200)
    assert ends.send(100)
    words[ring.W_PIN] = 0 + 1
    assert ends.writer.room() == 0
    assert not ends.send(10)
    words[ring.W_PIN] = 0
    assert ends.send(10)


def test_room_comes_back_when_frames_are_copied_and_side_files_stay_until_all_is(tmp_path: Path) -> None:
    path, side = tmp_path / "queue", tmp_path / "queue.side-3"
    create_ring(path, CAPACITY)
    reader, pinned = RingReader(path, by_mapping), PinnedRing(path, by_calls, 7)
    assert room_is_pinned(path, by_calls)
    pinned.free_room()
    assert not room_is_pinned(path, by_calls)
    side.write_bytes(b"large")
    side.chmod(0o600)
    remove_or_keep(DISK, side, pinned=reader.pinned)
    assert not side.exists()
    assert read_part(DISK, side, 1, 3) == b"arg"
    pinned.release()
    remove_kept(DISK, tmp_path)
    assert not reader.pinned
    assert [found.name for found in tmp_path.iterdir()] == ["queue"]


def test_a_pin_that_a_dead_checkpointer_left_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    create_ring(path, CAPACITY)
    PinnedRing(path, by_calls, 7)._ring.close()
    unpin(path, by_calls)
    assert not room_is_pinned(path, by_calls)


@given(st.lists(st.integers(0, 120), max_size=12), st.integers(0, 5))
def test_a_queue_that_was_put_back_gives_what_was_in_it(lengths: list[int], taken: int) -> None:
    ends = Ends()
    for length in lengths:
        if not ends.send(length):
            ends.take()
    for _ in range(taken):
        ends.take()
    head, sequence, rows = ends.reader.head, ends.reader.sequence, ends.reader.rows
    data = ends.reader.peek(head, ends.writer.tail - head)
    there = MemoryFiles()
    put_back(QUEUE, there.share, CAPACITY, data, head=head, head_rows=rows, tail_rows=ends.writer.rows, files=there)
    again = RingReader(QUEUE, there.share)
    again.restore(head, sequence, rows)
    found = []
    while again.waiting:
        frame = again.read_nowait()
        assert frame is not None
        found.append(frame.payload)
    assert found == ends.sent[sequence:]
