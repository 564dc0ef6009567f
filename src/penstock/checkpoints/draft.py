"""A checkpoint that is being written: its content goes to two files of the store, one chunk after the other.

One file is for what passes (what is in queues), the other for what later checkpoints share (logs): so a file is
deleted when its checkpoint is, or when the last log that has a chunk in it is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.channel.checksum import crc32
from penstock.checkpoints.chunking import LARGE_BYTES
from penstock.checkpoints.history import FILES
from penstock.checkpoints.manifest import Chunk, Chunks, file_prefix
from penstock.checkpoints.store import Bytes, CheckpointStore, StoreFile


class Draft:
    """Written by `claimed.Claimed`'s holder. `close` or `abandon` ends it."""

    def __init__(self, store: CheckpointStore, lineage: int, number: int, attempt: int) -> None:
        # The attempt is in the names: what becomes of a commit may be unknown for a while, and its files must stay.
        prefix = f"{file_prefix(lineage, number)}{attempt}."
        self._passing = _Packed(store, prefix + "passing")
        self._lasting = _Packed(store, prefix + "lasting")

    def passing(self, parts: Iterable[Bytes]) -> Chunks:
        """Add content that belongs to this checkpoint alone. Raises `StoreUnavailable`."""
        return self._passing.add(parts)

    def lasting(self, parts: Iterable[Bytes]) -> Chunks:
        """Add content of a log, which later checkpoints will share. Raises `StoreUnavailable`."""
        return self._lasting.add(parts)

    def close(self) -> None:
        """All content is durable when this returns. Raises `StoreUnavailable`."""
        try:
            self._lasting.close()
            self._passing.close()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Make away with what is not closed. Raises nothing; for a checkpoint that was not committed."""
        self._passing.abandon()
        self._lasting.abandon()

    @property
    def files(self) -> frozenset[str]:
        """Those that were made, by their names in the folder of files."""
        return frozenset(packed.name for packed in (self._passing, self._lasting) if packed.length)

    @property
    def written_bytes(self) -> int:
        """So far."""
        return self._passing.length + self._lasting.length


class _Packed:
    """A file of chunks; made when the first one comes."""

    def __init__(self, store: CheckpointStore, name: str) -> None:
        self._store = store
        self.name = name
        self._file: StoreFile | None = None
        self.length = 0

    def add(self, parts: Iterable[Bytes]) -> Chunks:
        chunks = []
        for part in parts:
            view = memoryview(part).cast("B")
            # A chunk is read back in one piece.
            for start in range(0, len(view), LARGE_BYTES):
                chunks.append(self._write(view[start : start + LARGE_BYTES]))
        return tuple(chunks)

    def _write(self, data: memoryview) -> Chunk:
        if self._file is None:
            self._file = self._store.writing(f"{FILES}/{self.name}")
        self._file.write(data)
        chunk = Chunk(self.name, self.length, len(data), crc32(data))
        self.length += len(data)
        return chunk

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()
            self._file = None
