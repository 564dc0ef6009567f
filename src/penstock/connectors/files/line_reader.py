"""Reads one bounded file, or a byte range of it, as blocks of whole lines. Opened by the specs of lines and JSON."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.batch import Lines
from penstock.connectors.files.content import BLOCK_BYTES, MAX_RECORD_BYTES
from penstock.connectors.files.packed import open_content
from penstock.connectors.files.read_file import ReadFile
from penstock.source import EndOfSplit, Reader, Rejected, WithRejected
from penstock.text_form import Errors, TextForm

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
    errors: Errors = "dead_letter"

    @property
    def text(self) -> TextForm:
        return TextForm(self.encoding, self.errors)

    def batch(self, data: bytes, first: int, path: str) -> Lines | WithRejected[str]:
        """The lines of a block as what the reader gives."""
        block = self.text.block(data, first, path)
        if self.blank_lines:
            return block
        return _lines_without_blanks(block) if isinstance(block, Lines) else _rows_without_blanks(block)


def _lines_without_blanks(block: Lines) -> Lines:
    data, first = without_blank_lines(block.data, block.first)
    return block if data is block.data else Lines(data, first, is_text=True)


def _rows_without_blanks(block: WithRejected[str]) -> WithRejected[str]:
    rows: list[str] = []
    rejected: dict[int, Rejected] = {}
    for index, row in enumerate(block.batch):  # type: ignore[arg-type]
        if index in block.rejected:
            rejected[len(rows)] = block.rejected[index]
        elif not row.strip(" \t\r"):
            continue
        rows.append(row)
    return WithRejected(rows, rejected)


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
        self, path: str, position: Any, form: LineForm, *, start: int = 0, end: int | None = None,
        planned: Any = None, log: logging.Logger | None = None,
    ) -> None:
        """`planned`: what stood at the path when the run was planned, if that is known."""
        self._form = form
        self._end = end
        self._path = path
        if position is not None:
            at, self._line = position["at"], position["line"]
        else:
            at, self._line = (first_line_start(path, start), 0) if start else (None, 1)
        ranged = start > 0 or end is not None
        self._file = ReadFile(path, at, seen=_seen_in(position), planned=planned, ranged=ranged, encoding=form.encoding,
                              log=log)

    def read(self) -> Lines | WithRejected[str]:
        data = self._whole_lines()
        batch = self._form.batch(data, self._line, self._path)
        self._file.content.advance(len(data))
        if self._line:
            is_whole = isinstance(batch, Lines) and batch.first == self._line
            self._line += batch.count if is_whole else count_lines(data)  # type: ignore[union-attr]
        return batch

    def position(self) -> dict[str, Any]:
        return {"at": self._file.content.position(), "line": self._line, "file": self._file.seen()}

    def close(self) -> None:
        self._file.close()

    def _whole_lines(self) -> bytes:
        limit = None if self._end is None else self._end - int(self._file.content.position())
        if limit is not None and limit <= 0:
            self._file.check(end=self._end)
            raise EndOfSplit
        size = BLOCK_BYTES
        while size <= MAX_RECORD_BYTES:
            data, damage = self._file.look(size)
            if damage is not None:
                if cut := cut_lines(data, at_end=False, limit=limit):
                    return data[:cut]
                raise damage
            if not data:
                raise EndOfSplit
            if cut := cut_lines(data, at_end=len(data) < size, limit=limit):
                return data[:cut]
            size *= 2
        raise self._file.content.too_long(MAX_RECORD_BYTES, "line")


def count_lines(data: bytes) -> int:
    """Lines in a block; the last may lack its end."""
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


def _seen_in(position: Mapping[str, Any] | None) -> Any:
    return None if position is None else position.get("file")


def first_line_start(path: str, start: int) -> int:
    """The first byte at or behind `start` where a line begins."""
    content = open_content(path, start - 1)
    try:
        while data := content.peek(BLOCK_BYTES):
            end = data.find(b"\n")
            if end >= 0:
                return int(content.position()) + end + 1
            content.advance(len(data))
        return int(content.position())
    finally:
        content.close()
