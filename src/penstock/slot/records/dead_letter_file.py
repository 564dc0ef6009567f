"""The dead letters of one slot: a `committed_log` that outlives the run. `dead_letter_frames` has the format."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from penstock.byte_files import DISK, Files
from penstock.dead_letter_frames import DeadLetterRecord, encode_frame, read_backward, whole_frames
from penstock.errors import FileUnusable, NotPrivate
from penstock.run_files import refused
from penstock.slot.records.committed_log import CommittedLog

_log = logging.getLogger("penstock.worker")
_WHAT: Final = "the file of dead letters"
DEAD_LETTERS: Final = "dead letters"
"""Their name in records."""


class DeadLetterFile:
    """Writes one slot's dead letters. One process at a time, guarded by the slot's lock."""

    def __init__(self, path: Path, committed: Sequence[int] = (), files: Files = DISK) -> None:
        """Open at what the record says, which `flush` gave: letters beyond it belong to a turn that never happened.

        If the file is shorter than that (somebody removed or cut it), it continues after its last whole letter. No file
        is created before a letter comes.
        """
        committed_length = committed[0] if committed else 0
        self._path = path
        self._files = files
        self._log: CommittedLog | None = None
        self._count = 0
        self._so_far: dict[str, int] = {}
        """Letters by stage, in the file and to be flushed."""
        if files.exists(path):
            self._log = self._open()
            try:
                self._resume_behind(self._log, committed_length)
            except BaseException:
                self._log.close()
                raise

    def _resume_behind(self, log: CommittedLog, committed_length: int) -> None:
        there = log.file_bytes
        length = min(committed_length, there)
        whole = self._count_letters(length)
        if there < committed_length:
            length = whole
            _log.warning("%s was cut from %s to %s bytes: letters are missing", self._path, committed_length, there)
        # Letters beyond it belong to a turn that was not committed. Left there, they would be there twice (trap 4).
        log.cut(length)

    def append(self, record: DeadLetterRecord) -> str:
        """Keep the letter until `flush`; the id that it was given."""
        self._count += 1
        self._so_far[record.stage] = self._so_far.get(record.stage, 0) + 1
        letter_id = f"{self._path.parent.name}-{self._path.stem}-{self._count}"
        if self._log is None:
            self._log = self._open()
        self._log.append(encode_frame(replace(record, id=letter_id, so_far=self._so_far)))
        return letter_id

    def flush(self) -> list[int]:
        """Hand what was appended to the operating system. What goes in the record: the length."""
        return [0 if self._log is None else self._log.flush()]

    def close(self) -> None:
        """Make the letters durable."""
        if self._log is not None:
            self._log.sync()
            self._log.close()
            self._log = None

    def _count_letters(self, length: int) -> int:
        """Those committed; gives the bytes of the whole ones. The last one says it all, if it is sound."""
        found = read_backward(self._path, length, self._files)
        if found is not None and (so_far := next(found).summary.so_far):
            self._so_far, whole, sound = so_far, length, True
        else:
            self._so_far, whole, sound = whole_frames(self._path, length, self._files)
        self._count = sum(self._so_far.values())
        if not sound:  # numbers continue beyond any that the letters here can have: a letter takes more than a byte
            self._count, whole = max(self._count, length), length
        return whole

    def _open(self) -> CommittedLog:
        place, names = self._path.parents[3], self._path.parts[-4:]  # dead-letters, the pipeline's, the run's
        try:
            return CommittedLog(self._path, _WHAT, self._files.open_below(place, names, os.O_RDWR | os.O_CREAT))
        except NotPrivate as exc:
            raise FileUnusable(self._path, _WHAT, PermissionError(errno.EPERM, f"{exc.path} {exc.why}")) from exc
        except OSError as exc:
            raise refused(self._path, _WHAT, exc) from exc
