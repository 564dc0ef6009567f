"""Appends encoded rows to a slot's files, exactly once: what lies beyond the position is cut away on opening.

The position is `{"file": number, "length": bytes}` after all bytes are with the operating system. JSON lines and CSV
differ in their `RowEncoder` only.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

from penstock.batch import Batch, WrittenLines
from penstock.connectors.files import append_beginning
from penstock.connectors.files.packed import pack, packing
from penstock.connectors.files.part_files import PartFiles, require_length, require_still
from penstock.connectors.files.write_behind import WriteBehind
from penstock.connectors.folder_sync import sync_folder_of
from penstock.errors import TargetDamaged
from penstock.sink import RowsRejected, Writer, WrittenText


class RowEncoder(ABC):
    """Makes text of rows. One for each writer."""

    @abstractmethod
    def encode(self, batch: Batch[Any], *, at_start: bool) -> WrittenText:
        """The rows as whole lines. `at_start`: they are the first of their file."""

    def state(self) -> dict[str, Any]:
        """What a successor must know besides the length; goes into the position."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what `state` gave before."""

    def continue_file(self, path: str) -> None:
        """The file at `path` holds rows of an earlier run, and more shall follow."""


class PartWriter(Writer[Any]):
    """Writes one slot's rows to one file, or to numbered files of about `roll_bytes` each."""

    def __init__(
        self,
        files: PartFiles,
        encoder: RowEncoder,
        position: Any,
        *,
        roll_bytes: int | None = None,
        append: bool = False,
    ) -> None:
        self._files = files
        self._encoder = encoder
        self._roll_bytes = roll_bytes
        self._packing = packing(files.name(0))
        self._finished = False
        files.make_directory()
        if position is not None:
            self._number, self._length = position["file"], position["length"]
            encoder.restore(position)
            append_beginning.forget(files)
        else:
            self._number, self._length = append_beginning.beginning(files, append=append)
        for number in files.numbers():
            if number > self._number:
                files.remove(number)
        self._fd = self._open()
        if position is None and self._length:
            encoder.continue_file(self._path)

    @property
    def _path(self) -> str:
        return self._files.name(self._number)

    def write(self, batch: Batch[Any]) -> None:
        if self._roll_bytes is not None and self._length >= self._roll_bytes:
            self._roll()
        if isinstance(batch, WrittenLines):
            self._append(batch.data)
            return
        encoded = self._encoder.encode(batch, at_start=self._length == 0)
        if encoded.data:
            self._append(encoded.data)
        if encoded.rejected:
            raise RowsRejected(encoded.rejected)

    def position(self) -> dict[str, Any]:
        if not self._finished:
            self._require_untouched()
        return {"file": self._number, "length": self._length, **self._encoder.state()}

    def finish(self) -> None:
        self._require_untouched()
        self._finished = True
        self._sync()
        if self._length == 0 and not self._files.single:
            self._files.remove(self._number)
        append_beginning.forget(self._files)

    def close(self) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        """Open the current file, cut to the committed length."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        size = os.fstat(fd).st_size
        if size < self._length:
            os.close(fd)
            raise TargetDamaged(self._path, f"{self._length} bytes were written to it, but it has {size}")
        os.ftruncate(fd, self._length)
        self._behind = WriteBehind(self._length)
        return fd

    def _roll(self) -> None:
        self._require_untouched()
        self._sync()
        os.close(self._fd)
        self._number += 1
        self._length = 0
        self._fd = self._open()

    def _sync(self) -> None:
        """Have the bytes and the name on the disk."""
        os.fsync(self._fd)
        sync_folder_of(self._path)

    def _require_untouched(self) -> None:
        require_still(self._fd, self._path)
        require_length(self._fd, self._path, self._length)

    def _append(self, data: bytes) -> None:
        require_length(self._fd, self._path, self._length)
        if self._lacks_line_end():
            data = b"\n" + data
        packed = memoryview(pack(self._packing, data))
        done = 0
        try:
            while done < len(packed):
                done += os.pwrite(self._fd, packed[done:], self._length + done)
        except OSError as exc:
            os.ftruncate(self._fd, self._length)
            raise OSError(exc.errno, exc.strerror, self._path) from exc
        self._length += done
        self._behind.written(self._fd, self._length)

    def _lacks_line_end(self) -> bool:
        """True: somebody else's last line, in a file that is appended to, has no end."""
        if self._packing or self._length == 0:
            return False
        return os.pread(self._fd, 1, self._length - 1) != b"\n"
