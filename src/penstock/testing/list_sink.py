"""A sink whose rows a test can read afterwards, exactly once over any number of kills: one file per slot."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Generic, TypeVar

from penstock.batch import Batch, rows_of
from penstock.channel.codec import RowCodec
from penstock.operator import Context
from penstock.sink import Delivery, Sink, Writer
from penstock.source import Position

T = TypeVar("T")
_HEAD = Struct("<IB")
"""Length and codec of the payload that follows."""


class ListSink(Sink[T], Generic[T]):
    """Collects what was written, in any process, in `rows`. Runs that resume one another add to the same sink."""

    def __init__(self, row_type: Any = Any) -> None:
        """`row_type` is needed only for rows of classes that pickle cannot find, such as classes inside a function."""
        self._row_type = row_type
        self._folder = Path(tempfile.gettempdir()) / f"penstock-list-sink-{uuid.uuid4().hex}"
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def __getstate__(self) -> tuple[Any, Path]:
        return self._row_type, self._folder

    def __setstate__(self, state: tuple[Any, Path]) -> None:
        # A copy in a worker writes; only the original reads, and removes the folder in the end.
        self._row_type, self._folder = state

    @property
    def rows(self) -> Sequence[T]:
        """The rows written so far, slot by slot."""
        files = sorted(self._folder.glob("*.rows"), key=lambda path: int(path.stem)) if self._folder.exists() else []
        return [row for file in files for row in _read(file, self._row_type)]

    @property
    def label(self) -> str:
        return "list"

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def prepare(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)

    def writer(self, position: Position | None, context: Context) -> Writer[T]:
        return _FileWriter(self._folder / f"{context.slot}.rows", position or 0, RowCodec(self._row_type))


class _FileWriter(Writer[T]):
    def __init__(self, path: Path, length: int, codec: RowCodec) -> None:
        self._codec = codec
        self._length = length
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.ftruncate(self._fd, length)
        os.lseek(self._fd, 0, os.SEEK_END)

    def write(self, batch: Batch[Any]) -> None:
        codec, payload = self._codec.encode(list(rows_of(batch)))
        data = memoryview(_HEAD.pack(len(payload), codec) + payload)
        self._length += len(data)
        while data:
            data = data[os.write(self._fd, data) :]

    def position(self) -> Position:
        return self._length

    def close(self) -> None:
        os.close(self._fd)


def _read(path: Path, row_type: Any) -> list[Any]:
    """Whole frames; one that is being written just now is not there yet."""
    codec, data, rows, at = RowCodec(row_type), path.read_bytes(), [], 0
    while at + _HEAD.size <= len(data):
        length, kind = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if at + length > len(data):
            break
        rows.extend(codec.decode(kind, data[at : at + length]).batch)
        at += length
    return rows
