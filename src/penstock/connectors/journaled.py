"""A source whose rows go to a journal on disk before they enter the pipeline, because they cannot be read again."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from penstock.batch import Batch
from penstock.connectors.journal import Journal, JournalFull, remove_journals
from penstock.operator import Context
from penstock.options import Duration
from penstock.source import EndOfSplit, Position, Reader, Source, WithRejected

if TYPE_CHECKING:
    from penstock.operators.verb import Operator

_GROUP_BYTES: Final = 1024 * 1024
_GROUP_S: Final = 0.005
"""What comes within this time is synced together."""
_WARN_S: Final = 60.0


class Journaled(Source[Any]):
    """What `source(durable=...)` makes of a source."""

    def __init__(self, source: Source[Any], folder: Path) -> None:
        self.inner = source
        self.folder = folder

    @property
    def label(self) -> str:
        return self.inner.label

    @property
    def target(self) -> str:
        return self.inner.target

    @property
    def bounded(self) -> bool:
        return self.inner.bounded

    @property
    def replayable(self) -> bool:
        return self.inner.replayable

    @property
    def journal(self) -> str:
        return str(self.folder)

    @property
    def discover_every(self) -> Duration | None:
        return self.inner.discover_every

    @property
    def row_type(self) -> Any:
        return self.inner.row_type

    @property
    def parse(self) -> Operator | None:
        return self.inner.parse

    @property
    def skips_damaged(self) -> bool:
        return False  # a damaged journal is no damaged split

    @property
    def modules(self) -> Sequence[str]:
        return self.inner.modules

    @property
    def rows(self) -> int | None:
        return self.inner.rows

    def check_source(self) -> Sequence[str]:
        found = list(self.inner.check_source())
        there = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        if not there.is_dir():
            what = "" if there == self.folder else f": {there}"
            found.append(f"durable={str(self.folder)!r}{what} is a file; name a folder for the journal")
        return found

    def splits(self) -> Mapping[str, Any]:
        return {name: (name, split) for name, split in self.inner.splits().items()}

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[Any]:
        name, inner = split
        journal = Journal(self.folder / quote(context.stage, safe="") / quote(name, safe=""))
        try:
            begin = journal.first if position is None else position
            journal.require(begin)
            known = pickle.loads(journal.last)[1] if journal.last else None
            reader = self.inner.open(inner, known, context)
            return JournaledReader(journal, reader, begin, context)
        except BaseException:
            journal.close()
            raise

    def finished(self, stage: str) -> None:
        remove_journals(self.folder / quote(stage, safe=""))
        self.inner.finished(stage)


class JournaledReader(Reader[Any]):
    """Gives what is in the journal, and then what the source gives once it is there."""

    def __init__(self, journal: Journal, inner: Reader[Any], position: int, context: Context) -> None:
        self._journal = journal
        self._inner = inner
        self._context = context
        self._at = position
        self._synced: deque[tuple[Batch[Any] | WithRejected[Any], int]] = deque()
        """What is in the journal, not yet given, and still at hand: batches, and the offset behind each."""
        self._unwritten: list[tuple[Batch[Any] | WithRejected[Any], Position]] = []
        """What was read, and has no room in the journal so far; with the source's position behind it."""
        self._ended = False
        self._warned_at = -_WARN_S
        # From here on they are read one by one; what comes later is at hand.
        self._replayed_to = journal.end

    @property
    def poll_after(self) -> Duration:  # type: ignore[override]
        return self._inner.poll_after

    def read(self) -> Batch[Any] | WithRejected[Any] | None:
        if self._at < self._replayed_to:
            body, self._at = self._journal.read(self._at)
            replayed: Batch[Any] | WithRejected[Any] = pickle.loads(body)[0]
            return replayed
        if not self._synced and (self._unwritten or not self._ended):
            self._take_group()
        if self._synced:
            batch, self._at = self._synced.popleft()
            return batch
        if self._ended and not self._unwritten:
            raise EndOfSplit
        return None

    def _take_group(self) -> None:
        """Read as much as comes at once, and sync it. What has no room waits, and nothing more is read."""
        if not self._unwritten:
            self._read_group()
        if not self._unwritten:
            return
        try:
            ends = self._journal.append([pickle.dumps(each, pickle.HIGHEST_PROTOCOL) for each in self._unwritten])
        except JournalFull as exc:
            self._warn(exc)
            return
        self._synced.extend((batch, end) for (batch, _), end in zip(self._unwritten, ends, strict=True))
        position = self._unwritten[-1][1]
        self._unwritten = []
        self._replayed_to = self._at  # nothing is read from the journal any more
        # The journal has it: whoever waits outside may go.
        self._inner.acknowledge(position)

    def _read_group(self) -> None:
        began, size = time.monotonic(), 0
        while size < _GROUP_BYTES:
            try:
                batch = self._inner.read()
            except EndOfSplit:
                self._ended = True
                return
            if batch is None:
                return
            self._unwritten.append((batch, self._inner.position()))
            size += _size_of(batch)
            if time.monotonic() > began + _GROUP_S:
                return

    def _warn(self, full: JournalFull) -> None:
        if time.monotonic() > self._warned_at + _WARN_S:
            self._warned_at = time.monotonic()
            self._context.log.warning("%s; the source waits until there is room", full)

    def position(self) -> Position:
        return self._at

    def fileno(self) -> int | None:
        return None if self._unwritten else self._inner.fileno()

    def acknowledge(self, position: Position) -> None:
        # Without a checkpoint store rows are in memory only: what the journal has is all that a reboot leaves.
        if self._context.checkpointed:
            self._journal.trim(position)

    def watermark(self) -> datetime | float | None:
        at_hand = self._at < self._replayed_to or self._synced or self._unwritten
        return None if at_hand else self._inner.watermark()

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._journal.close()


def _size_of(batch: Any) -> int:
    """About how many bytes, for the size of a group."""
    data = getattr(batch, "data", None)
    return len(data) if isinstance(data, bytes) else 64 * len(batch) if isinstance(batch, list) else _GROUP_BYTES
