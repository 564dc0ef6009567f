"""A checkpoint that is being written: its content goes to a few files of the store, one chunk after the other.

One file is for what passes (what is in queues), the others for what later checkpoints share (logs): so a file is
deleted when its checkpoint is, or when the last log that has a chunk in it is rewritten. A log of which much is
written gets a file of its own, so that a small one beside it does not keep that much from being deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import Final

from penstock.channel.checksum import crc32
from penstock.checkpoints.chunking import LARGE_BYTES
from penstock.checkpoints.history import FILES
from penstock.checkpoints.manifest import Chunk, Chunks, file_prefix
from penstock.checkpoints.store import Bytes, CheckpointStore, StoreFile
from penstock.errors import NotPrivate, StoreUnavailable

OWN_FILE_BYTES: Final = 1024 * 1024
"""A log of which at least so much is written has it in a file of its own."""


class Draft:
    """Written by `claimed.Claimed`'s holder. `close` or `abandon` ends it."""

    def __init__(self, store: CheckpointStore, lineage: int, number: int, attempt: int) -> None:
        # The attempt is in the names: what becomes of a commit may be unknown for a while, and its files must stay.
        prefix = f"{file_prefix(lineage, number)}{attempt}."
        self._prefix = prefix
        self._store = store
        self._passing = _Packed(store, prefix + "passing")
        self._lasting = _Packed(store, prefix + "lasting")
        self._own: list[_Packed] = []
        self._complete = False

    def passing(self, parts: Iterable[Bytes]) -> Chunks:
        """Add content that belongs to this checkpoint alone. Raises `StoreUnavailable`."""
        return self._passing.add(parts)

    def lasting(self, parts: Iterable[Bytes]) -> Chunks:
        """Add content of a log, which later checkpoints will share. Raises `StoreUnavailable`."""
        begun, size = [], 0
        rest = iter(parts)
        for part in rest:
            begun.append(bytes(part))
            size += len(begun[-1])
            if size >= OWN_FILE_BYTES:
                own = _Packed(self._store, f"{self._prefix}lasting-{len(self._own) + 1}")
                self._own.append(own)
                chunks = own.add(chain(begun, rest))
                own.close()  # so that few are open at the same time
                return chunks
        return self._lasting.add(begun)

    def close(self) -> None:
        """All content is durable when this returns. Raises `StoreUnavailable`."""
        try:
            for packed in self._all():
                packed.close()
        except BaseException:
            self.abandon()
            raise
        self._complete = True

    def abandon(self) -> None:
        """Make away with it, unless it is complete: then a checkpoint may name it. Raises nothing."""
        if self._complete:
            return
        for packed in self._all():
            packed.abandon()
        with suppress(StoreUnavailable, NotPrivate):  # what is left takes up room until the next claim
            self._store.delete([f"{FILES}/{own.name}" for own in self._own])

    @property
    def files(self) -> frozenset[str]:
        """Those that were made, by their names in the folder of files."""
        return frozenset(packed.name for packed in self._all() if packed.length)

    @property
    def written_bytes(self) -> int:
        """So far."""
        return sum(packed.length for packed in self._all())

    def _all(self) -> list[_Packed]:
        return [*self._own, self._lasting, self._passing]


class _Packed:
    """A file of chunks; made when the first one comes."""

    def __init__(self, store: CheckpointStore, name: str) -> None:
        self._store = store
        self.name = name
        self._file: StoreFile | None = None
        self.length = 0

    def add(self, parts: Iterable[Bytes]) -> Chunks:
        """One chunk of all parts together, or several, each but the last as long as chunks get."""
        chunks: list[Chunk] = []
        begin, check = self.length, 0
        for part in parts:
            view = memoryview(part).cast("B")
            while view:
                data = view[: LARGE_BYTES - (self.length - begin)]
                self._write(data)
                check = crc32(data, check)
                view = view[len(data) :]
                if self.length - begin == LARGE_BYTES:
                    chunks.append(Chunk(self.name, begin, LARGE_BYTES, check))
                    begin, check = self.length, 0
        if self.length > begin:
            chunks.append(Chunk(self.name, begin, self.length - begin, check))
        return tuple(chunks)

    def _write(self, data: memoryview) -> None:
        if self._file is None:
            self._file = self._store.writing(f"{FILES}/{self.name}")
        self._file.write(data)
        self.length += len(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()
            self._file = None
