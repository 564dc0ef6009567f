"""The files under the state of a slot: segments that are only appended to, of which the record says which count.

A segment begins with a catalogue of shelves, which gives them the numbers that the changes in it have. The last segment
is as long as the record says (`committed_log`); those before it are whole. A segment that no committed record names any
more is removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from penstock.byte_files import DISK, Files
from penstock.channel.kept_files import remove_or_keep
from penstock.errors import QueueDamaged
from penstock.run_files import refused
from penstock.slot.records.committed_log import CommittedLog, frame, open_log

WHAT: Final = "the changelog of the state"


def segment_path(base: Path, number: int) -> Path:
    """Where a segment is."""
    return base.with_name(f"{base.name}.{number}")


def segments_of(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """(segment, bytes of it that count) by what `Changelog.flush` gave; in the order in which they are read."""
    return [(numbers[0] + index, length) for index, length in enumerate(numbers[1:])]


class Segment(msgspec.Struct, frozen=True):
    """One of the files, open to be read as far as it counts."""

    number: int
    log: CommittedLog


class Changelog:
    """The changelog of one slot. One process at a time, guarded by the slot's lock."""

    def __init__(
        self, base: Path, committed: Sequence[int] = (), files: Files = DISK,
        pinned: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open at what the record says, which `flush` gave; what was never committed is cut away. `base`: names it.

        `pinned`: True while somebody copies what records speak of.
        """
        self._base = base
        self._files = files
        self._pinned = pinned
        self._first = committed[0] if committed else 1
        self._lengths = list(committed[1:-1])
        """Of the segments before the last one."""
        self.is_new = not committed
        last = self._first + len(self._lengths)
        for other in files.beginning_with(base.with_name(base.name + ".")):
            suffix = other.suffix[1:]
            if suffix.isdecimal() and not self._first <= int(suffix) <= last:
                self._remove(other)
        self._log = open_log(segment_path(base, last), WHAT, os.O_CREAT if self.is_new else 0, files)
        try:
            self._cut(committed[-1] if committed else 0)
        except BaseException:
            self._log.close()
            raise

    def _cut(self, length: int) -> None:
        there = self._log.file_bytes
        if there < length:
            raise QueueDamaged(self._log.path, f"{WHAT} was cut from {length} to {there} bytes")
        self._log.cut(length)

    @property
    def last(self) -> int:
        """The number of the segment that is appended to."""
        return self._first + len(self._lengths)

    def append(self, body: bytes) -> None:
        """Keep it until `flush`."""
        self._log.append(frame(body))

    def flush(self) -> list[int]:
        """Hand what was appended to the operating system. What goes in the record: first segment, and all lengths."""
        return [self._first, *self._lengths, self._log.flush()]

    def begin_segment(self) -> None:
        """What is appended from now on stands in a segment of its own."""
        self._lengths.append(self._log.flush())
        self._log.close()
        self._log = open_log(segment_path(self._base, self.last), WHAT, os.O_CREAT | os.O_TRUNC, self._files)

    def forget_before(self, number: int) -> list[Path]:
        """The next record names no segment before this one. Gives their files, to `remove` once it is committed."""
        gone = range(self._first, number)
        del self._lengths[: len(gone)]
        self._first = number
        return [segment_path(self._base, segment) for segment in gone]

    def remove(self, paths: Sequence[Path]) -> None:
        """Remove what no committed record names any more."""
        for path in paths:
            self._remove(path)

    def _remove(self, path: Path) -> None:
        try:
            remove_or_keep(self._files, path, pinned=self._pinned())
        except OSError as exc:
            raise refused(path, WHAT, exc) from exc

    def bodies(self) -> Iterator[tuple[Path, int, bytes]]:
        """(file, offset, body) of each frame that counts, in order. Raises `QueueDamaged`."""
        for segment in self.segments():
            try:
                for offset, body in segment.log.bodies():
                    yield segment.log.path, offset, body
            finally:
                segment.log.close()

    def segments(self) -> Iterator[Segment]:
        """Each segment, opened once more, to be read as far as it counts and to be closed by the caller.

        It can be read for as long as it is open, whoever removes its file meanwhile. Raises `QueueDamaged`.
        """
        for number, length in segments_of([self._first, *self._lengths, self._log.length]):
            log = open_log(segment_path(self._base, number), WHAT, 0, self._files)
            log.length = length
            if log.file_bytes < length:
                there = log.file_bytes
                log.close()
                raise QueueDamaged(log.path, f"{WHAT} was cut from {length} to {there} bytes")
            yield Segment(number, log)

    def bytes_before(self, segment: int, offset: int, most: int) -> bytes | None:
        """The bytes that stand before a place, as many as there are; None: it is no place of what counts."""
        lengths = dict(segments_of([self._first, *self._lengths, self._log.length]))
        if not 0 < offset <= lengths.get(segment, 0):
            return None
        log = self._log
        if segment != self.last:
            log = open_log(segment_path(self._base, segment), WHAT, 0, self._files)
        try:
            return log.read(max(offset - most, 0), min(offset, most))
        finally:
            if log is not self._log:
                log.close()

    def close(self) -> None:
        self._log.close()
