"""The dead letters of one slot: an append-only file whose committed length stands in the slot's journal.

The worker appends while it computes, flushes before the journal's flip and puts the length into the record; what a
killed worker wrote beyond it, its successor cuts away. `dead_letters.py` has the format and the reader.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from penstock.errors import FileUnusable, NotPrivate
from penstock.letter_frames import DeadLetterRecord, encode_frame, read_backward, whole_frames
from penstock.private_files import held_below, open_own
from penstock.run_files import refused, write_all

log = logging.getLogger("penstock.worker")
_WHAT: Final = "the file of dead letters"


class DeadLetterFile:
    """Writes one slot's dead letters. One process at a time, guarded by the slot's lock."""

    def __init__(self, path: Path, committed_length: int) -> None:
        """Open at what the journal says: letters beyond it belong to a turn that never happened.

        A file shorter than that (somebody removed or cut it) is gone on with behind its last whole letter. No file is
        made before a letter comes.
        """
        self._path = path
        self._fd: int | None = None
        self._buffer: list[bytes] = []
        self._length = 0
        self._count = 0
        self._so_far: dict[str, int] = {}
        """Letters by stage, in the file and to be flushed."""
        self._flushed: dict[str, int] = {}
        if os.path.lexists(path):
            self._fd = self._open()
            try:
                self._go_on_behind(self._fd, committed_length)
            except BaseException:
                os.close(self._fd)
                raise

    def _go_on_behind(self, fd: int, committed_length: int) -> None:
        there = os.fstat(fd).st_size
        self._length = min(committed_length, there)
        whole = self._count_letters()
        if there < committed_length:
            self._length = whole
            log.warning("%s was cut from %s to %s bytes: letters are missing", self._path, committed_length, there)
        os.ftruncate(fd, self._length)

    def append(self, record: DeadLetterRecord) -> str:
        """Keep the letter until `flush`; the id that it was given."""
        self._count += 1
        self._so_far[record.stage] = self._so_far.get(record.stage, 0) + 1
        letter_id = f"{self._path.parent.name}-{self._path.stem}-{self._count}"
        self._buffer.append(encode_frame(replace(record, id=letter_id, so_far=self._so_far)))
        return letter_id

    def discard(self) -> None:
        """Forget what was appended since the last `flush`: the turn is done again."""
        self._count -= len(self._buffer)
        self._buffer.clear()
        self._so_far = dict(self._flushed)

    def flush(self) -> int:
        """Hand what was appended to the operating system. The length to commit."""
        if self._buffer:
            data = b"".join(self._buffer)
            self._fd = self._open() if self._fd is None else self._fd
            self._length += write_all(self._fd, data, self._length, path=self._path, what=_WHAT)
            self._buffer.clear()
            self._flushed = dict(self._so_far)
        return self._length

    def close(self) -> None:
        """Make the letters durable. Never after a kill: then the operating system still has them."""
        if self._fd is not None:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None

    def _count_letters(self) -> int:
        """Those committed; gives the bytes of the whole ones. The last one says it all, if it is sound."""
        found = read_backward(self._path, self._length)
        if found is not None and (so_far := next(found).summary.so_far):
            self._so_far, whole, sound = so_far, self._length, True
        else:
            self._so_far, whole, sound = whole_frames(self._path, self._length)
        self._flushed = dict(self._so_far)
        self._count = sum(self._so_far.values())
        if not sound:  # numbers go on beyond any that the letters here can have
            self._count, whole = max(self._count, self._length), self._length
        return whole

    def _open(self) -> int:
        run, name = self._path.parent, self._path.name
        place, below = run.parents[2], run.parts[-3:]  # dead-letters, the pipeline's, the run's
        try:
            with held_below(place, below, make=True) as folder:
                return open_own(name, os.O_RDWR | os.O_CREAT, dir_fd=folder, single=True)
        except NotPrivate as exc:
            raise FileUnusable(self._path, _WHAT, PermissionError(errno.EPERM, f"{exc.path} {exc.why}")) from exc
        except OSError as exc:
            raise refused(self._path, _WHAT, exc) from exc
