"""Rows of a sink that wait for a checkpoint, in files of the slot: appended with each commit, read when they are due.

A log in segments, so that what is visible can be removed. A segment is only appended to, and goes after the commit
whose record no longer names it; as a part of what the slot's record covers it is in every checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from penstock.byte_files import Files
from penstock.channel.codec import Decoded, RowCodec
from penstock.channel.kept_files import remove_or_keep
from penstock.errors import QueueDamaged
from penstock.slot.input.batches import batch_length
from penstock.slot.records.committed_log import CommittedLog, frame, open_log
from penstock.slot.records.epoch_segments import epoch_segments, segment_beginning, segment_path
from penstock.slot.records.record import EpochRecord

SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""A segment that has so much is not appended to any more."""
_WORTHWHILE_BYTES: Final = 64 * 1024
"""A segment with less is appended to though all of it is visible: a file for each commit would cost more."""
_HEAD_BYTES: Final = 5
"""Of a frame's body: the number of rows in four bytes, and the codec in one."""
_WHAT: Final = "the file of rows that wait for a checkpoint"


class EpochSpool:
    """The spool of one stage in one slot, as far as `record` says, which it keeps up to date."""

    def __init__(
        self, folder: Path, stage: int, record: EpochRecord, codec: RowCodec, files: Files,
        pinned: Callable[[], bool],
    ) -> None:
        """`pinned`: True while somebody copies what records speak of. Raises `QueueDamaged`, `FileUnusable`."""
        self.record = record
        self._folder = folder
        self._stage = stage
        self._codec = codec
        self._files = files
        self._pinned = pinned
        self._log: CommittedLog | None = None
        """The last segment, while it is appended to."""
        self._gone: list[Path] = []
        """Segments that the next record will not name."""
        known = {path for path, _ in epoch_segments(folder, stage, record)}
        for path in files.beginning_with(segment_beginning(folder, stage)):
            if path not in known:  # of a turn that never happened, or of one before the last commit
                remove_or_keep(files, path, pinned=pinned())
        if record.lengths and record.lengths[-1] < SEGMENT_BYTES:
            self._log = open_log(segment_path(folder, stage, self._last), _WHAT, files=files)
            self._log.cut(record.lengths[-1])

    @property
    def _last(self) -> int:
        """The number of the last segment."""
        return self.record.first + len(self.record.lengths) - 1

    def add(self, batch: Any) -> None:
        """Keep a batch for `flush`. Raises what encoding raises for a row that cannot be stored."""
        codec, payload = self._codec.encode(batch)
        body = batch_length(batch).to_bytes(4, "little") + int(codec).to_bytes(1, "little") + payload
        if self._log is None:
            # Not there: `__init__` has removed what an earlier life began.
            path = segment_path(self._folder, self._stage, self._last + 1)
            self._log = open_log(path, _WHAT, os.O_CREAT | os.O_EXCL, self._files)
            self.record.lengths.append(0)
        self._log.append(frame(body))

    def flush(self) -> None:
        """Before a record is made: what was added is with the operating system, and segments that are through go."""
        record, log = self.record, self._log
        if log is not None:
            record.lengths[-1] = log.flush()
        while record.lengths and record.begin + record.lengths[0] <= record.applied and self._may_go():
            self._gone.append(segment_path(self._folder, self._stage, record.first))
            record.begin += record.lengths.pop(0)
            record.first += 1
            if not record.lengths:
                self._close_last()
        if record.lengths and record.lengths[-1] >= SEGMENT_BYTES:
            self._close_last()

    def _may_go(self) -> bool:
        return len(self.record.lengths) > 1 or self.record.lengths[0] >= _WORTHWHILE_BYTES

    def _close_last(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def committed(self) -> None:
        """After the commit: remove what its record no longer names."""
        for path in self._gone:
            remove_or_keep(self._files, path, pinned=self._pinned())
        self._gone.clear()

    def frames(self, begin: int, end: int) -> Iterator[tuple[Decoded, int, int]]:
        """(what was added, how many rows, the place behind it) between two places. Raises `QueueDamaged`."""
        first = self.record.begin
        for path, length in epoch_segments(self._folder, self._stage, self.record):
            if first + length > begin and first < end:
                yield from self._frames_in(path, first, max(begin - first, 0), min(end - first, length))
            first += length

    def _frames_in(self, path: Path, first: int, offset: int, end: int) -> Iterator[tuple[Decoded, int, int]]:
        log = open_log(path, _WHAT, files=self._files)
        try:
            while offset < end:
                found = log.body_at(offset)
                if found is None or found[1] > end:
                    raise QueueDamaged(path, f"{_WHAT} is damaged: the frame at {offset} is not what was written")
                body, offset = found
                rows = int.from_bytes(body[:4], "little")
                yield self._codec.decode(body[4], body[_HEAD_BYTES:], rows), rows, first + offset
        finally:
            log.close()

    def close(self) -> None:
        self._close_last()
