"""Compressed files, gzip, bzip2, xz, zstd: members one behind the other, each a point to resume from.

A position is `[offset of a member's first byte, bytes unpacked since]`: resuming unpacks that member again, which costs
about 3 s per GB of text for a file of one member. The sinks here write a member per batch: such files resume at once.
"""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from penstock.connectors.files.content import BreaksOff, Content, PlainContent, open_file
from penstock.errors import ExtraMissing, SourceDamaged

_READ_BYTES = 64 * 1024
_ZSTD_READ_BYTES = 8 * 1024
"""zstd unpacks all it is given at once; a small bite bounds what that can be."""
_MOST_UNPACKED_BYTES = 1024 * 1024
"""What bzip2 and xz, which pack a million times where they can, give at once."""
_ENDINGS = {".gz": "gz", ".gzip": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst", ".zstd": "zst"}


class Member(Protocol):
    """One member (gzip), stream (bzip2, xz) or frame (zstd) being unpacked, as `zlib` and `zstandard` offer it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class BoundedMember:
    """A stream of bzip2 or xz: what it gives at once is bounded, so it may have more before it needs input."""

    def __init__(self, unpacker: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._unpacker = unpacker

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def unused_data(self) -> bytes:
        return self._unpacker.unused_data

    @property
    def has_more(self) -> bool:
        """True: `decompress(b"")` gives more."""
        return not self._unpacker.eof and not self._unpacker.needs_input

    def decompress(self, data: bytes, /) -> bytes:
        return self._unpacker.decompress(data, _MOST_UNPACKED_BYTES)


def packing(path: str) -> str:
    """`"gz"`, `"bz2"`, `"xz"`, `"zst"` or `""`, by the file's name, whatever its case."""
    return _ENDINGS.get(os.path.splitext(path)[1].lower(), "")


def require_zstd() -> Any:
    """The `zstandard` package, or `ExtraMissing`."""
    try:
        import zstandard
    except ImportError as exc:
        raise ExtraMissing("zstandard", "zstd") from exc
    return zstandard


def open_content(path: str, position: Any = None) -> Content:
    """A file's content from `position` on (None: its beginning), unpacked where its name says so."""
    if not packing(path):
        return PlainContent(path, position or 0)
    member, skip = position or (0, 0)
    return PackedContent(path, member, skip)


def pack(kind: str, data: bytes) -> bytes:
    """`data` as one complete member or frame; as it is where `kind` is empty."""
    if kind == "gz":
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        return packer.compress(data) + packer.flush()
    if kind == "bz2":
        return bz2.compress(data)
    if kind == "xz":
        return lzma.compress(data)
    if kind == "zst":
        return bytes(require_zstd().ZstdCompressor(level=3).compress(data))
    return data


class PackedContent(Content):
    """The unpacked bytes of a compressed file."""

    def __init__(self, path: str, member: int = 0, skip: int = 0) -> None:
        super().__init__(path)
        self._new_member, self._bite = _unpacker(packing(path))
        self._fd = open_file(path)
        self.reached = member
        """Where the next packed bytes are read."""
        self._input = b""
        self._member: Member | None = None
        self._ended = False
        self._buffer = bytearray()
        self._at = 0
        """Unpacked bytes left behind, from the member this was opened at."""
        self._starts: deque[tuple[int, int]] = deque([(0, member)])
        """Members not left behind yet: (unpacked bytes before them, their offset in the file)."""
        try:
            self._skip(skip)
        except BaseException:
            os.close(self._fd)
            raise

    def peek(self, size: int) -> bytes:
        while len(self._buffer) < size and not self._ended:
            self._unpack()
        return bytes(self._buffer[:size])

    def intact(self, size: int) -> bytes:
        return bytes(self._buffer[:size])

    @property
    def consumed(self) -> int:
        return self.reached

    def advance(self, size: int) -> None:
        del self._buffer[:size]
        self._at += size
        while len(self._starts) > 1 and self._starts[1][0] <= self._at:
            self._starts.popleft()

    def position(self) -> list[int]:
        before, offset = self._starts[0]
        return [offset, self._at - before]

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def _skip(self, size: int) -> None:
        while size:
            step = len(self.peek(min(size, 1 << 20)))
            if not step:
                raise SourceDamaged(self.path, f"{size} bytes that were read before are gone")
            self.advance(step)
            size -= step

    def _unpack(self) -> None:
        """Unpack one bite of the file into the buffer, or find its end."""
        more_inside = isinstance(self._member, BoundedMember) and self._member.has_more
        if not self._input and not more_inside:
            self._input = os.pread(self._fd, self._bite, self.reached)
            self.reached += len(self._input)
            if not self._input:
                if self._member is not None:
                    raise BreaksOff(self.path, "the compressed data ends in the middle")
                self._ended = True
                return
        if self._member is None and not self._begin_member():
            return
        assert self._member is not None
        try:
            self._buffer += self._member.decompress(self._input)
        except Exception as exc:  # zlib.error, zstandard.ZstdError: the latter cannot be named without the package
            raise SourceDamaged(self.path, f"the compressed data is damaged near byte {self.reached} ({exc})") from exc
        self._input = self._member.unused_data
        if self._member.eof:
            self._member = None

    def _begin_member(self) -> bool:
        """Note where a member begins. False: only padding was there (zeros behind the last member are allowed)."""
        offset = self.reached - len(self._input)
        if offset and self._input[0] == 0:
            self._input = self._input.lstrip(b"\0")
            return False
        start = (self._at + len(self._buffer), offset)
        if start != self._starts[-1]:
            self._starts.append(start)
        self._member = self._new_member()
        return True


def _unpacker(kind: str) -> tuple[Callable[[], Member], int]:
    if kind == "gz":
        return lambda: zlib.decompressobj(31), _READ_BYTES
    if kind == "bz2":
        return lambda: BoundedMember(bz2.BZ2Decompressor()), _READ_BYTES
    if kind == "xz":
        return lambda: BoundedMember(lzma.LZMADecompressor(lzma.FORMAT_XZ)), _READ_BYTES
    zstandard = require_zstd()
    return lambda: zstandard.ZstdDecompressor().decompressobj(), _ZSTD_READ_BYTES
