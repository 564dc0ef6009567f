"""Copies what is in a queue while both of its ends go on, and makes a queue of such a copy.

Who copies pins the queue first: from then on its writer overwrites nothing from `safe_from` on. What is copied is what
records say (the reader's head, the writer's tail), which are read after the pin. The side files of frames in the copy
are kept, too (`kept_files`), until the pin is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from penstock.byte_files import DISK, Files
from penstock.channel import frame as frames
from penstock.channel.frame import HEADER_BYTES, Flag
from penstock.channel.ring import RingReader, create_ring
from penstock.channel.side_file import SideFiles
from penstock.errors import QueueDamaged
from penstock.shared_file import Opening


class PinnedRing:
    """A queue that is pinned until `release`."""

    def __init__(self, path: Path, opening: Opening, owner: int) -> None:
        """`owner`: the number of the cut. Raises `QueueDamaged`, `FileUnusable`."""
        self.path = path
        self._ring = RingReader(path, opening)
        self.capacity = self._ring.capacity
        self.safe_from = self._ring.pin(owner)
        """Nothing from here on is overwritten."""

    def copy(self, head: int, tail: int) -> bytes:
        """The bytes of the frames between two positions that records give. Raises `QueueDamaged`."""
        if not self.safe_from <= head <= tail <= head + self.capacity:
            what = f"the records say {head} to {tail}, and {self.safe_from} was published"
            raise QueueDamaged(self.path, f"what is to be copied is none of its backlog: {what}")
        return self._ring.peek(head, tail - head)

    def free_room(self) -> None:
        """The frames are copied, and their side files are not yet. The writer may have to be woken."""
        self._ring.free_room()

    def release(self) -> None:
        """Take the pin away. The writer may have to be woken."""
        self._ring.unpin()
        self._ring.close()


def unpin(path: Path, opening: Opening) -> None:
    """Take away a pin that a dead checkpointer left. Raises `QueueDamaged`, `FileUnusable`."""
    ring = RingReader(path, opening)
    try:
        ring.unpin()
    finally:
        ring.close()


def room_is_pinned(path: Path, opening: Opening) -> bool:
    """True: the writer may not overwrite what the reader is through with. Raises `QueueDamaged`, `FileUnusable`."""
    ring = RingReader(path, opening)
    try:
        return ring.room_pinned
    finally:
        ring.close()


def side_files(queue: Path, data: bytes, position: int) -> Iterator[Path]:
    """Those of the frames in a copy that begins at `position`, all of which are looked at. Raises `QueueDamaged`."""
    sides, offset = SideFiles(queue), 0
    while offset < len(data):
        head = data[offset : offset + HEADER_BYTES]
        _, header = frames.unpack(head) if len(head) == HEADER_BYTES else (0, None)
        end = len(data) + 1 if header is None else offset + frames.space(header.length)
        # Found now, damage costs one checkpoint. Found after a restore, it would cost all of them.
        if header is None or end > len(data) or not frames.intact(
            head, data[offset + HEADER_BYTES : offset + HEADER_BYTES + header.length], position + offset
        ):
            raise QueueDamaged(queue, f"the frame at {position + offset} is damaged")
        if header.flags & Flag.SIDE_FILE:
            yield sides.path(header.sequence)
        offset = end


def put_back(
    path: Path, opening: Opening, capacity: int, data: bytes, *, head: int, head_rows: int, tail_rows: int,
    files: Files = DISK,
) -> None:
    """Make the queue of which `data` is a copy from `head` on. OSError(ENOSPC) where there is no room."""
    create_ring(path, capacity, files)
    ring = RingReader(path, opening)
    try:
        ring.put_back(head, data, head_rows, tail_rows)
    finally:
        ring.close()
