"""The bytes of one file from a position on, plain or decompressed. Readers of lines and records look at them here."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from typing import Any

BLOCK_BYTES = 256 * 1024
"""What a reader looks at in one turn."""

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""The longest line or record: a file without line ends must not fill the memory."""


_BOM = b"\xef\xbb\xbf"


class DamagedFile(OSError):
    """A file cannot be read to its end as what it claims to be."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(errno.EIO, f"{what}; mend or replace the file, then run again", path)


class Content(ABC):
    """A window on a file's content that moves forward only."""

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only where the file ends. Does not move."""

    @abstractmethod
    def advance(self, size: int) -> None:
        """Leave `size` bytes behind that were peeked at."""

    @abstractmethod
    def position(self) -> Any:
        """Where the window stands; msgpack-able. Opened there again, the same bytes follow."""

    def skip_bom(self) -> int:
        """Leave UTF-8's byte order mark behind; how many bytes that were. Called at the beginning of a file."""
        size = len(_BOM) if self.peek(len(_BOM)) == _BOM else 0
        self.advance(size)
        return size

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor of the file itself."""

    @abstractmethod
    def close(self) -> None:
        """Give the descriptor back."""

    def too_long(self, size: int, kind: str) -> DamagedFile:
        """The error for a line or record that does not end within `size` bytes."""
        return DamagedFile(self.path, f"the {kind} at {self.position()} does not end within {size} bytes")


class PlainContent(Content):
    """A file as it is; the position is the byte offset."""

    def __init__(self, path: str, offset: int = 0) -> None:
        super().__init__(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.offset = offset
        size = os.fstat(self._fd).st_size
        if size < offset:
            os.close(self._fd)
            raise DamagedFile(path, f"{offset - size} bytes that were read before are gone")

    def peek(self, size: int) -> bytes:
        data = os.pread(self._fd, size, self.offset)
        while len(data) < size and (more := os.pread(self._fd, size - len(data), self.offset + len(data))):
            data += more
        return data

    def advance(self, size: int) -> None:
        self.offset += size

    def position(self) -> int:
        return self.offset

    def head(self, size: int) -> bytes:
        """The first bytes of the file, wherever the window stands."""
        return os.pread(self._fd, size, 0)

    def last_line_end(self, size: int) -> int:
        """The offset behind the last line end among the first `size` bytes; 0: there is none."""
        while size:
            start = max(0, size - BLOCK_BYTES)
            end = os.pread(self._fd, size - start, start).rfind(b"\n") + 1
            if end:
                return start + end
            size = start
        return 0

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)
