"""Sources made of what Python has: a sequence's items, and what a function yields. `Pipeline.source` makes them."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

from penstock.batch import Batch
from penstock.names import label_of
from penstock.operator import Context
from penstock.options import BATCH_ROWS
from penstock.signatures.annotations import element_of, returned_by
from penstock.source import EndOfSplit, Position, Reader, Source

T_co = TypeVar("T_co", covariant=True)

BATCH_BYTES = 256 * 1024
FIRST_LIMIT = 16
"""Rows of a callable that are read ahead before the size of one is looked at."""


class SequenceSource(Source[T_co]):
    """The items of a sequence, in order; over several workers each has one contiguous part."""

    def __init__(self, items: Sequence[T_co], parts: int = 1) -> None:
        self.items = items
        self.parts = parts

    @property
    def label(self) -> str:
        return "items"

    @property
    def target(self) -> str:
        return f"{len(self.items)} items"

    def contents(self) -> str:
        """A digest, the same for equal items in every process; of an item that has no plain value, its class counts."""
        if isinstance(self.items, range):
            return repr(self.items)
        import hashlib  # only here, and it loads OpenSSL: 3 ms

        digest = hashlib.blake2b(digest_size=8)
        for item in self.items:
            digest.update(_plain(item))
        return f"contents {digest.hexdigest()}"

    @property
    def row_type(self) -> Any:
        """The one class that all items have."""
        if isinstance(self.items, range):
            return int
        kinds = set(map(type, self.items))
        return kinds.pop() if len(kinds) == 1 else Any

    @property
    def rows(self) -> int:
        return len(self.items)

    def divided(self, parts: int) -> SequenceSource[T_co]:
        """The same items for this many workers."""
        return SequenceSource(self.items, parts)

    def splits(self) -> Mapping[str, Any]:
        size = len(self.items)
        borders = [size * part // self.parts for part in range(self.parts + 1)]
        return {f"part-{n}": [borders[n], borders[n + 1]] for n in range(self.parts)}

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[T_co]:
        start, stop = split
        return _SequenceReader(self.items, start if position is None else position, stop)


def _plain(item: object) -> bytes:
    """Always the same bytes for equal values, which pickle does not promise."""
    try:
        return _encoder.encode(item)
    except Exception:  # what msgspec has no form for, and whatever a property of the user's raises
        return f"{type(item).__module__}.{type(item).__qualname__}".encode("utf-8", "backslashreplace")


_encoder = msgspec.msgpack.Encoder(order="deterministic")


class _SequenceReader(Reader[T_co]):
    def __init__(self, items: Sequence[T_co], start: int, stop: int) -> None:
        self._items = items
        self._next = start
        self._stop = stop

    def read(self) -> Batch[T_co]:
        if self._next >= self._stop:
            raise EndOfSplit
        rows = rows_of_a_batch(self._items[self._next])
        batch = list(self._items[self._next : min(self._next + rows, self._stop)])
        self._next += len(batch)
        return batch

    def position(self) -> Position:
        return self._next


def rows_of_a_batch(row: object) -> int:
    """How many rows like this one make a batch; looks one level into a container."""
    size = sys.getsizeof(row)
    if isinstance(row, Mapping):
        size += sum(map(sys.getsizeof, row.values()))
    elif isinstance(row, list | tuple):
        size += sum(map(sys.getsizeof, row))
    return max(1, min(BATCH_ROWS, BATCH_BYTES // size))


class CallableSource(Source[T_co]):
    """What `fn()` iterates over. After a restart it is called again, and what was committed is skipped."""

    def __init__(self, fn: Callable[[], Iterable[T_co]]) -> None:
        self.fn = fn

    @property
    def label(self) -> str:
        return label_of(self.fn)

    @property
    def row_type(self) -> Any:
        return element_of(returned_by(self.fn))

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[T_co]:
        return _CallableReader(self.fn, position or 0)


class _CallableReader(Reader[T_co]):
    """Iterates in a thread of its own, so that rows are handed over while the iterator waits for its next one."""

    def __init__(self, fn: Callable[[], Iterable[T_co]], skip: int) -> None:
        self._fn = fn
        self._count = skip
        self._ready: deque[T_co] = deque()
        self._room = threading.Event()
        self._limit = FIRST_LIMIT
        self._bell = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell_lock = threading.Lock()
        self._reader_waits = False
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._iterate, args=(skip,), name="penstock-source", daemon=True)
        self._thread.start()

    def read(self) -> Batch[T_co] | None:
        """What is ready now. The descriptor is silent only from a read that gave None until there is more."""
        batch = self._take()
        if batch:
            return batch
        self._silence()
        self._reader_waits = True
        # Looked at once more after the flag: the thread looks at the flag after it has put a row.
        ended = self._ended
        batch = self._take()
        if batch:
            self._ring()
            return batch
        if not ended:
            return None
        if self._error is not None:
            raise self._error
        raise EndOfSplit

    def position(self) -> Position:
        return self._count

    def fileno(self) -> int:
        return self._bell

    def close(self) -> None:
        self._closed = True
        self._room.set()
        with self._bell_lock:
            os.close(self._bell)
            self._bell = -1

    def _take(self) -> list[T_co]:
        ready = self._ready
        if not ready:
            return []
        batch = [ready.popleft() for _ in range(min(len(ready), rows_of_a_batch(ready[0])))]
        self._count += len(batch)
        self._room.set()
        return batch

    def _iterate(self, skip: int) -> None:
        try:
            for row in islice(self._rows(), skip, None):
                self._put(row)
                if self._closed:
                    return
        except BaseException as error:  # raised again by `read`, in the worker's main thread
            self._error = error
        finally:
            self._ended = True
            self._ring()

    def _rows(self) -> Iterator[T_co]:
        return iter(self._fn())

    def _put(self, row: Any) -> None:
        self._ready.append(row)
        if self._reader_waits:
            self._ring()
        if len(self._ready) >= self._limit:
            self._limit = rows_of_a_batch(row)
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        while len(self._ready) >= self._limit and not self._closed:
            self._room.clear()
            # Looked at once more after clearing: the reader sets it after it has taken rows.
            if len(self._ready) >= self._limit and not self._closed:
                self._room.wait()

    def _ring(self) -> None:
        with self._bell_lock:
            if self._bell >= 0:
                self._reader_waits = False
                os.eventfd_write(self._bell, 1)

    def _silence(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return
