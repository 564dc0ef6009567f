"""The bytes of one file from a position on, plain or decompressed. Readers of lines and records look at them here."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

from penstock.errors import SourceDamaged

BLOCK_BYTES = 256 * 1024
"""What a reader looks at in one turn."""

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""The longest line or record: a file without line ends must not fill the memory."""


_BOM = b"\xef\xbb\xbf"


class Content(ABC):
    """A window on a file's content that moves forward only."""

    reached: int
    """The offset in the file itself up to which it was looked at."""

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only where the file ends. Does not move. Raises `SourceDamaged`."""

    def intact(self, size: int) -> bytes:
        """What `peek` can give of `size` bytes before it comes to the damage that it raised for."""
        return b""

    @property
    @abstractmethod
    def consumed(self) -> int:
        """The offset in the file itself up to which it was needed for what was left behind."""


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

    def too_long(self, size: int, kind: str) -> SourceDamaged:
        """The error for a line or record that does not end within `size` bytes."""
        return SourceDamaged(self.path, f"the {kind} at byte {self.consumed} does not end within {size} bytes")


class BreaksOff(SourceDamaged):
    """A packed file ends in the middle of what it holds; it may be in the making."""


class FileGone(SourceDamaged):
    """There is no file under that name any more."""


def open_file(path: str) -> int:
    """A descriptor of a file that a source reads. Raises `FileGone`, or `SourceDamaged` where it is closed to us."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileGone(path, "it is gone") from exc
    except PermissionError as exc:
        raise SourceDamaged(path, f"it cannot be opened ({exc.strerror})") from exc


class PlainContent(Content):
    """A file as it is; the position is the byte offset."""

    def __init__(self, path: str, offset: int = 0) -> None:
        super().__init__(path)
        self._fd = open_file(path)
        self.offset = offset
        self.reached = offset
        size = os.fstat(self._fd).st_size
        if size < offset:
            os.close(self._fd)
            raise SourceDamaged(path, f"{offset - size} bytes that were read before are gone")

    def peek(self, size: int) -> bytes:
        data = os.pread(self._fd, size, self.offset)
        while len(data) < size and (more := os.pread(self._fd, size - len(data), self.offset + len(data))):
            data += more
        self.reached = self.offset + len(data)
        return data

    def advance(self, size: int) -> None:
        self.offset += size

    def position(self) -> int:
        return self.offset

    @property
    def consumed(self) -> int:
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
