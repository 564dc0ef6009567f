"""What of a queue's file its next run needs: the control page, and the frames between its cursors.

A queue is reserved whole, mostly 16 MiB. When nobody is at it any more, all but this may be a hole (`copy_sparse`),
and has to be reserved again (`reserve`) before anybody maps it.
"""

from __future__ import annotations

import os
from pathlib import Path

from penstock.channel import frame as frames
from penstock.channel.frame import HEADER_BYTES
from penstock.channel.ring import CONTROL_BYTES, RingReader
from penstock.errors import FileUnusable, QueueDamaged
from penstock.shared_file import by_calls

_PIECE_BYTES = 1024 * 1024


def needed(path: Path) -> list[tuple[int, int]]:
    """(offset, length) of what has to be kept; all of it where the queue is damaged, so that whoever reads it tells."""
    try:
        ring = RingReader(path, by_calls)
    except (QueueDamaged, FileUnusable):
        return [(0, path.stat().st_size)]
    try:
        end = _end_of_frames(ring)
        if not 0 <= end - ring.head <= ring.capacity:
            return [(0, CONTROL_BYTES + ring.capacity)]
        # The frames may reach over the end of the ring: then they are two pieces.
        first, length = ring.head % ring.capacity, end - ring.head
        before_the_wrap = min(length, ring.capacity - first)
        pieces = [(0, CONTROL_BYTES), (CONTROL_BYTES + first, before_the_wrap)]
        return [*pieces, (CONTROL_BYTES, length - before_the_wrap)]
    except QueueDamaged:
        return [(0, CONTROL_BYTES + ring.capacity)]
    finally:
        ring.close()


def _end_of_frames(ring: RingReader) -> int:
    """Behind the last whole frame: a commit may count frames that its worker did not live to publish."""
    end = ring.head + ring.backlog_bytes
    while end - ring.head + HEADER_BYTES <= ring.capacity:
        # Garbage here is what a killed turn left, or an earlier lap: the checksum below tells it from a frame.
        head = ring.peek(end, HEADER_BYTES)
        _, header = frames.unpack(head)
        size = frames.space(header.length)
        if end - ring.head + size > ring.capacity:
            break
        if not frames.intact(head, ring.peek(end + HEADER_BYTES, header.length), end):
            break
        end += size
    return end


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a queue, holes where nothing is needed."""
    pieces = needed(source)
    with source.open("rb") as given, target.open("xb") as made:
        os.fchmod(made.fileno(), 0o600)
        made.truncate(os.fstat(given.fileno()).st_size)
        for offset, length in pieces:
            _copy(given.fileno(), made.fileno(), offset, length)


def _copy(source: int, target: int, offset: int, length: int) -> None:
    while length > 0:
        data = os.pread(source, min(length, _PIECE_BYTES), offset)
        if not data:
            return  # it was cut meanwhile: whoever reads it tells
        os.pwrite(target, data, offset)
        offset, length = offset + len(data), length - len(data)


def reserve(path: Path) -> None:
    """Fill the holes: OSError(ENOSPC) now, rather than a SIGBUS later."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.posix_fallocate(fd, 0, max(os.fstat(fd).st_size, 1))
    finally:
        os.close(fd)
