"""Side files: the payload of a frame that is larger than its whole queue stands in a file beside it.

One channel has at most one at a time: the writer waits until the reader has deleted the one before. Named by channel
and sequence, so that a re-run of the turn overwrites it. While the queue is pinned, the reader keeps what it is
through with for whoever copies the queue (`kept_files`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from penstock.byte_files import DISK, Files, write_all
from penstock.channel.checksum import crc32
from penstock.channel.kept_files import remove_or_keep
from penstock.errors import FileUnusable, NotPrivate, QueueDamaged
from penstock.run_files import refused


def ticket_of(payload: bytes) -> bytes:
    """What is in the frame of a payload that stands in a file."""
    return len(payload).to_bytes(8, "little") + crc32(payload).to_bytes(4, "little")


class SideFiles:
    """The side files of one channel."""

    def __init__(self, queue: Path, files: Files = DISK) -> None:
        self._queue = queue
        self._files = files

    def path(self, sequence: int) -> Path:
        """The file of a frame."""
        return self._queue.with_name(f"{self._queue.name}.side-{sequence}")

    def outstanding(self) -> list[Path]:
        """Files that stand there now."""
        return self._files.beginning_with(self._queue.with_name(f"{self._queue.name}.side-"))

    def write(self, sequence: int, payload: bytes) -> bytes:
        """Write a payload; gives what is in the frame instead. Raises `FileUnusable` where there is no room."""
        path = self.path(sequence)
        try:
            self._write(path, payload)
        except OSError as exc:
            self._files.remove(path)  # half of one takes room that others need
            raise FileUnusable(path, "the side file of a turn larger than its queue", exc) from exc
        return ticket_of(payload)

    def read(self, sequence: int, ticket: bytes) -> bytes:
        """The payload of a frame, checked. Raises `QueueDamaged`."""
        path = self.path(sequence)
        length, check = int.from_bytes(ticket[:8], "little"), int.from_bytes(ticket[8:12], "little")
        try:
            payload = self._read(path, length)
        except (OSError, NotPrivate) as exc:
            raise refused(path, "the side file of a frame", exc) from exc
        if len(payload) != length or crc32(payload) != check:
            raise QueueDamaged(path, "the side file of a frame does not hold what was written")
        return payload

    def delete_below(self, sequence: int, *, pinned: bool = False) -> bool:
        """Reader, after its commit: frames below are done. True when something was deleted, or kept for a copy."""
        return self._delete(lambda number: number < sequence, pinned=pinned)

    def delete_from(self, sequence: int) -> bool:
        """Writer's successor: what is at or above the committed sequence was never published."""
        return self._delete(lambda number: number >= sequence, pinned=False)

    def _delete(self, doomed: Callable[[int], bool], *, pinned: bool) -> bool:
        deleted = False
        for path in self.outstanding():
            if doomed(int(path.name.rpartition("-")[2])):
                remove_or_keep(self._files, path, pinned=pinned)
                deleted = True
        return deleted

    def _write(self, path: Path, payload: bytes) -> None:
        # A turn that is run again writes the same name again: what a killed life left of it is overwritten.
        file = self._files.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            # Room for all of it first: a full disk says so before anything is written.
            file.reserve(max(len(payload), 1))
            write_all(file, payload, 0)
        finally:
            file.close()

    def _read(self, path: Path, length: int) -> bytes:
        file = self._files.open(path, os.O_RDONLY)
        try:
            return file.pread(min(length, file.size), 0)  # a damaged length may be any
        finally:
            file.close()
