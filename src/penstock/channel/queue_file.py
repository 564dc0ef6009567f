"""Queues for those who are at neither end: who makes them, who looks whether they are whole, who shows what they hold.

Looked at through system calls (`shared_file`): none of those who look has a successor.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.byte_files import DISK, Files
from penstock.channel import ring
from penstock.shared_file import Opening, by_calls


def create_queue(path: Path, capacity: int, files: Files = DISK) -> None:
    """Make an empty queue of `capacity` bytes (a multiple of 8), all of it reserved: OSError(ENOSPC) otherwise."""
    ring.create_ring(path, capacity, files)


def file_bytes(capacity: int) -> int:
    """How long the file of a queue of `capacity` bytes is."""
    return ring.CONTROL_BYTES + capacity


class QueueReading(msgspec.Struct, frozen=True):
    """What is in a queue, by what its ends have published."""

    queued_bytes: int
    queued_rows: int
    rows_read: int
    oldest_wall_ns: int
    """Wall clock at which the oldest unread frame was published; 0: the queue is empty."""


def look(path: Path) -> QueueReading:
    """Read the published words of a queue, whoever is at it. Raises `QueueDamaged`, `FileUnusable`."""
    queue = by_calls(path, "the queue", least=ring.CONTROL_BYTES, writable=False)
    words = queue.words
    try:
        # The head first: whatever both ends do meanwhile, it never passes a tail that is read later.
        head, rows_read = int(words[ring.W_HEAD]), int(words[ring.W_HEAD_ROWS])
        oldest = int(words[ring.W_WAITING_SINCE])
        queued_bytes = max(0, int(words[ring.W_TAIL]) - head)
        queued_rows = max(0, int(words[ring.W_TAIL_ROWS]) - rows_read)
    finally:
        queue.close()
    if not queued_bytes:
        return QueueReading(0, 0, rows_read, 0)
    return QueueReading(queued_bytes, queued_rows, rows_read, oldest)


def require_whole(path: Path) -> None:
    """Look at size, head and cursors of a queue. Raises `QueueDamaged` or `FileUnusable` where it cannot be read on."""
    ring.RingReader(path, by_calls).close()


def rows_taken(path: Path, opening: Opening = by_calls) -> int:
    """Rows that a queue's reader has done with, ever, as it published. Raises as `require_whole` does."""
    reader = ring.RingReader(path, opening)
    try:
        return reader.rows
    finally:
        reader.close()
