"""A queue: a shared file with one writer and one reader, a ring of frames between two published cursors.

Each side has a private cursor that runs ahead of the published one: the writer appends past the published tail,
where nobody sees it, the reader reads past the published head, so that its successor reads the same again. The slot
publishes both after its commit. `frame` packs and checks, `words` stores the cursors.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from penstock.byte_files import DISK, Files, make_file
from penstock.channel import frame as frames
from penstock.channel.frame import HEADER_BYTES, Frame, Header
from penstock.channel.words import TornWord, fence, load_cursor, store_cursor
from penstock.errors import QueueDamaged
from penstock.run_files import require_size
from penstock.shared_file import Opening

CONTROL_BYTES: Final = 4096
_MAGIC: Final = 0x5045_4E53_5155_4555
_VERSION: Final = 2

# Words of the control page; a cursor has its complement behind it and its copy two words on (`words`). The cache
# lines of writer and reader are apart.
_W_MAGIC: Final = 0
_W_VERSION: Final = 1
_W_CAPACITY: Final = 2
W_TAIL: Final = 8
"""Bytes ever appended and published."""
W_TAIL_ROWS: Final = 10
W_HEAD: Final = 16
"""Bytes ever done with and published."""
W_HEAD_ROWS: Final = 18
W_WAITING_SINCE: Final = 20
"""Wall clock at which the oldest frame between the cursors was published."""
W_PIN: Final = 24
"""0: nobody copies what is there; a position and 1 added to it: nothing may be overwritten from it on; 2: everything
may, but side files are kept."""
_FILES_ONLY: Final = 2
W_PIN_OWNER: Final = 25
"""The cut that pinned it last, by its number: for whoever looks."""


class WouldBlock(Exception):
    """The queue has no room for the frame now."""


def create_ring(path: Path, capacity: int, files: Files = DISK) -> None:
    """Make an empty queue of `capacity` bytes (a multiple of 8), all of it reserved: OSError(ENOSPC) otherwise."""
    words = memoryview(bytearray(CONTROL_BYTES)).cast("Q")
    words[_W_MAGIC], words[_W_VERSION], words[_W_CAPACITY] = _MAGIC, _VERSION, capacity
    store_cursor(words, W_TAIL, 0)
    store_cursor(words, W_HEAD, 0)
    # A hole in a full tmpfs would be a SIGBUS later; this says ENOSPC now (trap 14).
    make_file(files, path, CONTROL_BYTES + capacity, words.tobytes())


class _Ring:
    def __init__(self, path: Path, opening: Opening) -> None:
        self.path = path
        self._file = opening(path, "the queue", least=CONTROL_BYTES)
        self._words, self._data = self._file.words, self._file.data
        self.capacity = int(self._words[_W_CAPACITY])
        try:
            if self._words[_W_MAGIC] != _MAGIC or self._words[_W_VERSION] != _VERSION or not self.capacity:
                raise QueueDamaged(path, "this is not a queue of this version")
            require_size(path, "the queue", self._file.size, CONTROL_BYTES + self.capacity)
        except QueueDamaged:
            self._file.close()
            raise

    def _cursor(self, index: int) -> int:
        try:
            return load_cursor(self._words, index)
        except TornWord as exc:
            raise QueueDamaged(self.path, str(exc)) from exc

    def close(self) -> None:
        """Let go of the file; it stays."""
        self._file.close()


class RingWriter(_Ring):
    """The sending end. `tail` and `sequence` are private until `publish`."""

    def __init__(self, path: Path, opening: Opening) -> None:
        super().__init__(path, opening)
        self.tail = self._cursor(W_TAIL)
        self.sequence = 0
        self.rows = int(self._words[W_TAIL_ROWS])
        self._head_seen = self._cursor(W_HEAD)

    def restore(self, tail: int, sequence: int, rows: int) -> None:
        """Resume from what the journal says."""
        # The published tail may be behind it: an earlier life died between its commit and `publish`. It is never ahead.
        self.tail, self.sequence, self.rows = tail, sequence, rows
        self._head_seen = tail - self.capacity  # as if the ring were full: the head is read before the first frame

    def room(self) -> int:
        """Bytes that can be appended now."""
        head = self._head_seen = self._cursor(W_HEAD)
        if not 0 <= self.tail - head <= self.capacity:
            raise QueueDamaged(self.path, f"head {head} lies outside the backlog that ends at {self.tail}")
        # The pin after the head: whoever pins stores the pin first and looks at the head afterwards. A pin that is not
        # seen here was stored after the head was read, so the head that its owner finds is this one or a later one.
        pin = int(self._words[W_PIN])
        if pin & 1 and pin - 1 < head:
            # It may lie more than a capacity behind the tail: its owner was slow, and copies from a later head on.
            self._head_seen = pin - 1
            return max(self.capacity - (self.tail - (pin - 1)), 0)
        return self.capacity - (self.tail - head)

    def has_room(self, size: int) -> bool:
        """True when this many bytes can be appended now. The head is read only if the one seen last is not enough."""
        return self.capacity - (self.tail - self._head_seen) >= size or self.room() >= size

    @property
    def rows_taken(self) -> int:
        """Rows that the reader has done with, ever."""
        return int(self._words[W_HEAD_ROWS])

    def append_nowait(self, header: Header, payload: bytes) -> None:
        """Write a frame past the published tail, where nobody sees it. Raises `WouldBlock`."""
        size = frames.space(len(payload))
        if not self.has_room(size):
            raise WouldBlock
        # Killed anywhere in here: the bytes lie past the published tail, and the successor writes over them.
        self._copy_in(self.tail, frames.pack(header, payload, self.tail))
        self._copy_in(self.tail + HEADER_BYTES, payload)
        self.tail += size
        self.sequence += 1
        self.rows += header.rows

    def publish(self) -> None:
        """Show the reader what was appended. Called after the commit, and again by a successor: the same words."""
        if self._cursor(W_HEAD) >= self._words[W_TAIL]:  # the queue was empty: what comes now is the oldest
            self._words[W_WAITING_SINCE] = time.time_ns()
        # The tail goes last. Stores stay in order, so whoever sees it sees the row count, and the frames behind it.
        self._words[W_TAIL_ROWS] = self.rows
        store_cursor(self._words, W_TAIL, self.tail)

    def _copy_in(self, position: int, data: bytes) -> None:
        offset = CONTROL_BYTES + position % self.capacity
        first = CONTROL_BYTES + self.capacity - offset
        if len(data) <= first:
            self._data[offset : offset + len(data)] = data
        else:
            self._data[offset : offset + first] = data[:first]
            self._data[CONTROL_BYTES : CONTROL_BYTES + len(data) - first] = data[first:]


class RingReader(_Ring):
    """The receiving end. `head` and `sequence` are private until `publish`."""

    def __init__(self, path: Path, opening: Opening) -> None:
        super().__init__(path, opening)
        self.head = self._cursor(W_HEAD)
        self.sequence = 0
        self.rows = int(self._words[W_HEAD_ROWS])
        self._published = self.head
        self._tail_seen = self.head

    def restore(self, head: int, sequence: int, rows: int) -> None:
        """Resume from what the journal says."""
        # Frames that an earlier life read and did not commit are still there: it never published a head beyond this.
        self.head, self.sequence, self.rows = head, sequence, rows
        self._published = self._tail_seen = head

    @property
    def pinned(self) -> bool:
        """True: side files are to be kept for somebody who copies the queue. Asked after a publish (`kept_files`)."""
        return bool(self._words[W_PIN])

    @property
    def waiting(self) -> bool:
        """True when there is something to read, if only a damaged cursor: `read_nowait` tells."""
        return self.backlog_bytes != 0

    @property
    def backlog_bytes(self) -> int:
        """Bytes between the private head and the tail, which is looked at again when what was seen is read."""
        if self._tail_seen == self.head:
            # Loads stay in order, too: frames that are read after this load are those that the tail speaks for.
            self._tail_seen = self._cursor(W_TAIL)
        return self._tail_seen - self.head

    @property
    def half_empty(self) -> bool:
        """True when at least half of the ring is free by the published cursors: time to wake a waiting writer."""
        return self._cursor(W_TAIL) - self._published <= self.capacity // 2

    def read_nowait(self) -> Frame | None:
        """The next frame, verified, its payload a copy; the private head moves. None: nothing there."""
        position, backlog = self.head, self.backlog_bytes
        if backlog == 0:
            return None
        if backlog < HEADER_BYTES or backlog > self.capacity:
            raise self._damaged(f"a backlog of {backlog} bytes is impossible")
        # A copy: once the head is published the writer may overwrite this place (trap 13).
        head = self._copy_out(position, HEADER_BYTES)
        _, header = frames.unpack(head)
        # Nothing in the header is verified yet; a damaged length must not lead beyond the backlog.
        size = frames.space(header.length)
        if size > backlog:
            raise self._damaged(f"its length {header.length} extends past the tail")
        payload = self._copy_out(position + HEADER_BYTES, header.length)
        if not frames.intact(head, payload, position):
            raise self._damaged("its checksum differs")
        # Whole, and written for this place, but another one than the next: a cursor is wrong.
        if header.sequence != self.sequence:
            raise self._damaged(f"frame {header.sequence} is where frame {self.sequence} should be")
        self.head = position + size
        self.sequence += 1
        return Frame(header, payload, self.head)

    def peek(self, position: int, length: int) -> bytes:
        """Bytes at a position, whatever they are; for those who look what a dead writer left."""
        return self._copy_out(position, length)

    # For those who copy what is between the cursors, or put a copy back (`ring_copy`).

    def pin(self, owner: int) -> int:
        """Have the writer overwrite nothing from a position on, which is given, until `unpin`."""
        self._words[W_PIN_OWNER] = owner
        # The pin, then a fence, then the head once more. The writer reads the head first and the pin afterwards: where
        # it does not see the pin, the head that it has seen is this one or an earlier one.
        self._words[W_PIN] = self._cursor(W_HEAD) + 1
        fence()
        return self._cursor(W_HEAD)

    def free_room(self) -> None:
        """What is there was copied, but for side files. A writer that sleeps for room has to be rung."""
        self._words[W_PIN] = _FILES_ONLY

    @property
    def room_pinned(self) -> bool:
        """True: from `pin` to `free_room`."""
        return bool(int(self._words[W_PIN]) & 1)

    def unpin(self) -> None:
        """Take the pin away. A writer that sleeps for room has to be rung."""
        self._words[W_PIN] = 0

    def put_back(self, head: int, data: bytes, head_rows: int, tail_rows: int) -> None:
        """Make this what is between the cursors. Nobody is at either end."""
        first = min(len(data), self.capacity - head % self.capacity)
        offset = CONTROL_BYTES + head % self.capacity
        self._data[offset : offset + first] = data[:first]
        self._data[CONTROL_BYTES : CONTROL_BYTES + len(data) - first] = data[first:]
        self._words[W_TAIL_ROWS], self._words[W_HEAD_ROWS] = tail_rows, head_rows
        self._words[W_WAITING_SINCE] = time.time_ns()
        store_cursor(self._words, W_HEAD, head)
        store_cursor(self._words, W_TAIL, head + len(data))

    def publish(self) -> None:
        """Give the room of all that was read back."""
        self.publish_up_to(self.head)

    def publish_up_to(self, head: int) -> None:
        """Give the room before `head` back. Called after the commit, and again by a successor."""
        self._published = head
        self._words[W_HEAD_ROWS] = self.rows
        if self._words[W_TAIL] > head:
            # Another frame is the oldest now. Nobody has noted when it was published, so its time counts from here.
            self._words[W_WAITING_SINCE] = time.time_ns()
        # From this store on the writer may overwrite what lies before `head`, which is committed as done.
        store_cursor(self._words, W_HEAD, head)

    def _copy_out(self, position: int, length: int) -> bytes:
        offset = CONTROL_BYTES + position % self.capacity
        first = CONTROL_BYTES + self.capacity - offset
        if length <= first:
            return bytes(self._data[offset : offset + length])
        rest = bytes(self._data[CONTROL_BYTES : CONTROL_BYTES + length - first])
        return bytes(self._data[offset : offset + first]) + rest

    def _damaged(self, what: str) -> QueueDamaged:
        return QueueDamaged(self.path, f"frame {self.sequence} at {self.head} is damaged: {what}")
