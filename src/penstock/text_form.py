"""Decode bytes into lines of text; a line that is not valid in the encoding is rejected by itself. For readers."""

from __future__ import annotations

import codecs
from typing import Literal, TypeAlias

import msgspec

from penstock.batch import Lines
from penstock.errors import SourceDamaged
from penstock.source import Rejected, WithRejected

Errors: TypeAlias = Literal["dead_letter", "replace", "fail"]
"""What happens to a line that is not valid in the encoding."""

UNDECODED_REMEDY = 'repair it, pass its `encoding`, or set such lines aside with errors="dead_letter"'

WIDE = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4, "utf-32-le": 4, "utf-32-be": 4}
"""Encodings in which a line end takes several bytes, and how many."""


class TextForm(msgspec.Struct, frozen=True):
    """How to decode bytes. The bytes have `\\n` as line ends: wide encodings are converted to UTF-8 before."""

    encoding: str = "utf-8"
    errors: Errors = "dead_letter"

    @property
    def codec(self) -> str:
        """Python's name of what the bytes are in when they come here."""
        name = codec_name(self.encoding)
        return "utf-8" if name in WIDE or name == "utf-8-sig" else name

    def block(self, data: bytes, first: int, where: str) -> Lines | WithRejected[str]:
        """Return whole lines as one block, or one by one if some are rejected.

        `first` is the number of the first line (0: unknown). `where` names what is read, for messages. Raises
        `SourceDamaged` under `errors="fail"`.
        """
        codec = self.codec
        if codec in ("utf-8", "ascii") and data.isascii():
            return Lines(data, first, is_text=True)
        try:
            text = data.decode(codec)
            if codec == "utf-8":
                return Lines(data, first, is_text=True)
            encoded = text.encode()
        except UnicodeError:
            return self._line_by_line(data, first, where)
        if encoded.count(b"\n") != data.count(b"\n"):
            return self._line_by_line(data, first, where)
        return Lines(encoded, first, is_text=True)

    def _line_by_line(self, data: bytes, first: int, where: str) -> WithRejected[str]:
        rows: list[str] = []
        rejected: dict[int, Rejected] = {}
        for index, raw in enumerate(_raw_lines(data)):
            text, reason = self.line_text(raw)
            rows.append(text)
            if reason:
                line = place(where, first + index if first else 0)
                if self.errors == "fail":
                    raise SourceDamaged(line, reason, UNDECODED_REMEDY)
                rejected[index] = Rejected(raw, f"{line}: {reason}")
        return WithRejected(rows, rejected)

    def line_text(self, raw: bytes) -> tuple[str, str]:
        """The text of one line, and why it has none ("": it has). Under `errors="replace"` every line has."""
        codec = self.codec
        try:
            text = raw.decode(codec)
            text.encode()
            return text, ""
        except UnicodeError as exc:
            if self.errors == "replace":
                return raw.decode(codec, "replace").encode("utf-8", "replace").decode(), ""
            return "", f"it is not {self.encoding} ({_detail(exc)})"


def codec_name(encoding: str) -> str:
    """Python's name for an encoding. Raises `LookupError`."""
    return codecs.lookup(encoding).name


def place(where: str, line: int) -> str:
    """File and line for a message."""
    return f"{where}, line {line}" if line else where


def encoding_problems(encoding: str, errors: str) -> list[str]:
    """What is wrong with `encoding` and `errors`."""
    found = []
    if errors not in ("dead_letter", "replace", "fail"):
        found.append(f'errors={errors!r} is unknown; it is "dead_letter", "replace" or "fail"')
    try:
        one_byte = "\n".encode(encoding) == b"\n"
        known = one_byte or codec_name(encoding) in WIDE or codec_name(encoding) == "utf-8-sig"
    except (LookupError, ValueError):
        return [*found, f"encoding {encoding!r} is unknown to Python, or is not a text encoding"]
    if not known:
        found.append(f"encoding {encoding!r} is not supported: a line end is not one byte there; convert to UTF-8")
    return found


def _raw_lines(data: bytes) -> list[bytes]:
    """Lines without their ends, cut as `Lines.split` does."""
    rows = data.split(b"\n")
    if rows[-1] == b"":
        rows.pop()
    return [row.removesuffix(b"\r") for row in rows]


def _detail(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        shown = error.object[error.start : error.start + 4].hex(" ")
        return f"{error.reason}: byte {error.start + 1} is {shown}"
    return str(error)
