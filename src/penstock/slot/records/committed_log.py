"""A log of a slot: a file that is only appended to, and that is as long as the slot's record says.

What is appended waits in memory until `flush`, which goes before the record; what a killed worker wrote beyond the
committed length, its successor cuts away. Under dead letters, waiting retries and what single rows give (`spool`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol
from zlib import crc32

from penstock.byte_files import DISK, ByteFile, Files, write_all
from penstock.errors import FileUnusable, NotPrivate, QueueDamaged
from penstock.run_files import refused

HEAD_BYTES: Final = 12
"""Of a frame: the length of its body in eight bytes (a single row may be large), and its checksum in four."""


class Participant(Protocol):
    """A log of the slot that takes part in its commits, such as the dead letters."""

    def flush(self) -> list[int]:
        """Called in every commit before the record is made, and again where a sink refuses rows of it.

        Everything that was appended is with the operating system when this returns. What it gives goes in the record:
        a successor opens the log with it and cuts away what lies beyond.
        """
        ...


class CommittedLog:
    """One log. One process at a time, guarded by the slot's lock."""

    def __init__(self, path: Path, what: str, file: ByteFile, length: int = 0) -> None:
        """`file`: the log's from now on; `what`: names it in errors; `length`: what counts of it."""
        self.path = path
        self._what = what
        self._file = file
        self.length = length
        """Bytes that are handed to the operating system, and count once a record says so."""
        self._waiting: list[bytes] = []

    @property
    def changed(self) -> bool:
        """True: something waits for `flush`."""
        return bool(self._waiting)

    def append(self, data: bytes) -> None:
        """Keep it until `flush`."""
        self._waiting.append(data)

    def flush(self) -> int:
        """Hand what was appended to the operating system. The length to commit. Raises `FileUnusable`."""
        if self._waiting:
            data = b"".join(self._waiting)
            # Not synced: what a killed process has written, the operating system still has.
            try:
                self.length += write_all(self._file, data, self.length)
            except OSError as exc:
                raise FileUnusable(self.path, self._what, exc) from exc
            self._waiting.clear()
        return self.length

    def forget(self) -> None:
        """Forget what was appended since the last `flush`."""
        self._waiting.clear()

    def start_over(self) -> None:
        """From now on the log is empty, and what is in the file is overwritten: not before a record says so."""
        # The file keeps its bytes for now: until the next record is committed, the last one counts them.
        self.forget()
        self.length = 0

    def cut(self, length: int) -> None:
        """What lies beyond belongs to a turn that never happened."""
        self._file.truncate(length)
        self.length = length

    @property
    def file_bytes(self) -> int:
        """How long the file is, whatever of it counts."""
        return self._file.size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file; fewer at its end."""
        return self._file.pread(length, offset)

    def bodies(self) -> Iterator[tuple[int, bytes]]:
        """(where it stands, body) of each frame up to the length. Raises `QueueDamaged`."""
        offset = 0
        while offset < self.length:
            found = self.body_at(offset)
            # The length was committed between two frames: one that reaches beyond it, or is not there, is damage.
            if found is None or found[1] > self.length:
                raise self._damaged(offset)
            yield offset, found[0]
            offset = found[1]

    def heads(self, most: int, offset: int = 0) -> Iterator[tuple[int, int, bytes]]:
        """(where it stands, its length, beginning of its body) of each frame that counts. Raises `QueueDamaged`.

        `most`: bytes of a beginning; `offset`: of the first one. Checksums are not looked at: that is for `body_of`,
        by which a frame is read later.
        """
        while offset < self.length:
            head = self.read(offset, HEAD_BYTES + most)
            end = offset + HEAD_BYTES + int.from_bytes(head[:8], "little")
            if len(head) <= HEAD_BYTES or end == offset + HEAD_BYTES or end > self.length:
                raise self._damaged(offset)
            yield offset, end - offset, head[HEAD_BYTES : end - offset]
            offset = end

    def body_of(self, offset: int) -> bytes:
        """The body of a frame that is there. Raises `QueueDamaged`."""
        found = self.body_at(offset)
        if found is None:
            raise self._damaged(offset)
        return found[0]

    def body_at(self, offset: int) -> tuple[bytes, int] | None:
        """(body of a frame, where the next one stands); None: the file ends there. Raises `QueueDamaged`."""
        head = self.read(offset, HEAD_BYTES)
        if not head:
            return None
        length, check = int.from_bytes(head[:8], "little"), int.from_bytes(head[8:], "little")
        end = offset + HEAD_BYTES + length
        # A damaged length may be any: as much memory is not asked for.
        if len(head) < HEAD_BYTES or not length or end > self.file_bytes:
            raise self._damaged(offset)
        body = self.read(offset + HEAD_BYTES, length)
        if len(body) != length or crc32(body) != check:
            raise self._damaged(offset)
        return body, end

    def _damaged(self, offset: int) -> QueueDamaged:
        return QueueDamaged(self.path, f"{self._what} is damaged: the frame at {offset} does not hold what was written")

    def sync(self) -> None:
        """Have it on the disk. Never needed after a kill: then the operating system still has it."""
        self._file.sync()

    def close(self) -> None:
        self._file.close()


def open_log(path: Path, what: str, flags: int = 0, files: Files = DISK) -> CommittedLog:
    """A log in the run directory; of length 0 until `cut`. `flags`: such as `os.O_CREAT`.

    Raises `QueueDamaged` where it is missing, `FileUnusable` where it cannot be opened.
    """
    try:
        return CommittedLog(path, what, files.open(path, os.O_RDWR | flags))
    except (OSError, NotPrivate) as exc:
        raise refused(path, what, exc) from exc


def frame(body: bytes) -> bytes:
    """A body as it stands in a log."""
    return len(body).to_bytes(8, "little") + crc32(body).to_bytes(4, "little") + body


def bodies_in(data: bytes) -> Iterator[bytes]:
    """The bodies of the frames in the content of a log. Raises `ValueError` for what is none."""
    offset = 0
    while offset < len(data):
        length, check = int.from_bytes(data[offset : offset + 8], "little"), data[offset + 8 : offset + HEAD_BYTES]
        begin, offset = offset + HEAD_BYTES, offset + HEAD_BYTES + length
        body = data[begin:offset]
        if not length or len(body) != length or crc32(body).to_bytes(4, "little") != check:
            raise ValueError(f"the frame at {begin - HEAD_BYTES} does not hold what was written")
        yield body
