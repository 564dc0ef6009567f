"""Reads one bounded file, or a byte range of it, as blocks of whole lines. Opened by the specs of lines and JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from penstock.batch import Batch, Lines
from penstock.connectors.files.content import BLOCK_BYTES, MAX_RECORD_BYTES, Content
from penstock.connectors.files.packed import open_content
from penstock.source import EndOfSplit, Reader

RANGE_BYTES = 32 * 1024 * 1024
"""Larger plain files are cut into ranges of this size, so that several workers share them."""

_BLANKS = (b"\n", b"\r", b" ", b"\t")
_BLANK_LINES = re.compile(rb"(?m)^[ \t\r]*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class LineForm:
    """How the text of a file becomes rows."""

    encoding: str = "utf-8"
    blank_lines: bool = True
    """False: lines of nothing but white space are left out."""

    def batch(self, data: bytes, first: int) -> Batch[str]:
        """The lines of a block as what the reader gives."""
        if not self.blank_lines:
            data, first = without_blank_lines(data, first)
        block = Lines(data, first)
        return block if is_utf8(self.encoding) else decode(data, self.encoding)


def is_utf8(encoding: str) -> bool:
    """True for the names of UTF-8 and its subset ASCII."""
    return encoding.lower().replace("-", "_") in ("utf_8", "utf8", "utf_8_sig", "u8", "ascii", "us_ascii")


def decode(data: bytes, encoding: str) -> list[str]:
    """The lines of a block in another encoding than UTF-8, as `Lines.split` gives them."""
    return Lines(data.decode(encoding, "replace").encode("utf-8", "replace"), 0).split()


def without_blank_lines(data: bytes, first: int) -> tuple[bytes, int]:
    """Leave blank lines out; the numbers of the others are then unknown (0)."""
    if data[:1] not in _BLANKS and not any(b"\n" + blank in data for blank in _BLANKS):
        return data, first
    return _BLANK_LINES.sub(b"", data), 0


def cut_lines(data: bytes, *, at_end: bool, limit: int | None = None) -> int:
    """How many bytes of `data` are whole lines that begin before `limit`; 0: not one, look at more.

    `data` begins at the beginning of a line; `at_end`: nothing follows it, so its last line is whole. Every line is
    counted to its end, the one that begins before `limit` and ends behind it too.
    """
    if limit is not None and len(data) >= limit:
        end = data.find(b"\n", limit - 1)
        if end >= 0:
            return end + 1
    return len(data) if at_end else data.rfind(b"\n") + 1


class LineReader(Reader[str]):
    """Lines of a file from `start` to `end`; a line belongs to the range in which it begins."""

    def __init__(
        self, path: str, position: Any, form: LineForm, *, start: int = 0, end: int | None = None
    ) -> None:
        self._form = form
        self._end = end
        if position is not None:
            at, self._line = position["at"], position["line"]
        else:
            at, self._line = (_first_line_start(path, start), 0) if start else (None, 1)
        self._content = open_content(path, at)
        if at is None:
            self._content.skip_bom()

    def read(self) -> Batch[str]:
        data = self._whole_lines()
        first = self._line
        self._content.advance(len(data))
        batch = self._form.batch(data, first)
        if first:
            is_whole = isinstance(batch, Lines) and batch.first == first
            self._line += batch.count if is_whole else data.count(b"\n")  # type: ignore[union-attr]
        return batch

    def position(self) -> dict[str, Any]:
        return {"at": self._content.position(), "line": self._line}

    def close(self) -> None:
        self._content.close()

    def _whole_lines(self) -> bytes:
        limit = None if self._end is None else self._end - int(self._content.position())
        if limit is not None and limit <= 0:
            raise EndOfSplit
        size = BLOCK_BYTES
        while size <= MAX_RECORD_BYTES:
            data = self._content.peek(size)
            if not data:
                raise EndOfSplit
            if cut := cut_lines(data, at_end=len(data) < size, limit=limit):
                return data[:cut]
            size *= 2
        raise self._content.too_long(MAX_RECORD_BYTES, "line")


def _first_line_start(path: str, start: int) -> int:
    """The first byte at or behind `start` where a line begins."""
    content: Content = open_content(path, start - 1)
    try:
        while data := content.peek(BLOCK_BYTES):
            end = data.find(b"\n")
            if end >= 0:
                return int(content.position()) + end + 1
            content.advance(len(data))
        return int(content.position())
    finally:
        content.close()
