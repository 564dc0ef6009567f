"""Side files: the payload of a frame that is larger than its whole queue stands in a file beside it.

One channel has at most one at a time: the writer waits until the reader has deleted the one before. Named by channel
and sequence, so that a re-run of the turn overwrites it.
"""

from __future__ import annotations

import os
from pathlib import Path

from penstock.channel.checksum import crc32
from penstock.errors import FileUnusable, NotPrivate, QueueDamaged
from penstock.private_files import open_own, read_own
from penstock.run_files import refused


class SideFiles:
    """The side files of one channel."""

    def __init__(self, queue: Path) -> None:
        self._queue = queue

    def _path(self, sequence: int) -> Path:
        return self._queue.with_name(f"{self._queue.name}.side-{sequence}")

    def outstanding(self) -> list[Path]:
        """Files that stand there now."""
        return sorted(self._queue.parent.glob(f"{self._queue.name}.side-*"))

    def write(self, sequence: int, payload: bytes) -> bytes:
        """Write a payload; gives what stands in the frame instead. Raises `FileUnusable` where there is no room."""
        path = self._path(sequence)
        try:
            _write(path, payload)
        except OSError as exc:
            path.unlink(missing_ok=True)  # half of one takes room that others need
            raise FileUnusable(path, "the side file of a turn larger than its queue", exc) from exc
        return len(payload).to_bytes(8, "little") + crc32(payload).to_bytes(4, "little")

    def read(self, sequence: int, ticket: bytes) -> bytes:
        """The payload of a frame, checked. Raises `QueueDamaged`."""
        path = self._path(sequence)
        length, check = int.from_bytes(ticket[:8], "little"), int.from_bytes(ticket[8:12], "little")
        try:
            payload = read_own(path)[:length]
        except (OSError, NotPrivate) as exc:
            raise refused(path, "the side file of a frame", exc) from exc
        if len(payload) != length or crc32(payload) != check:
            raise QueueDamaged(path, "the side file of a frame does not hold what was written")
        return payload

    def delete_below(self, sequence: int) -> bool:
        """Reader, after its commit: frames below are done. True when something was deleted."""
        return self._delete(lambda number: number < sequence)

    def delete_from(self, sequence: int) -> bool:
        """Writer's successor: what stands at or above the committed sequence was never published."""
        return self._delete(lambda number: number >= sequence)

    def _delete(self, doomed: object) -> bool:
        deleted = False
        for path in self.outstanding():
            if doomed(int(path.name.rpartition("-")[2])):  # type: ignore[operator]
                path.unlink(missing_ok=True)
                deleted = True
        return deleted


def _write(path: Path, payload: bytes) -> None:
    fd = open_own(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        os.posix_fallocate(fd, 0, max(len(payload), 1))
        view = memoryview(payload)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
