"""UTF-16 and UTF-32 read as UTF-8, so that lines and records are cut in them as in any other text. Beside `content`."""

from __future__ import annotations

import codecs
from typing import Any

from penstock.connectors.files.content import Content
from penstock.errors import SourceDamaged
from penstock.text_form import WIDE, codec_name

_MARKS = {
    "utf-16": ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
    "utf-32": ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
}
_CUT_SHORT = b"\xff"
"""Stands for the bytes of a character that the file's end cuts short: no UTF-8, so that its line is rejected."""


def is_wide(encoding: str) -> bool:
    """True: a line end takes several bytes."""
    return codec_name(encoding) in WIDE


class WideContent(Content):
    """The text of a file as UTF-8. Positions are those of the file; half a surrogate pair becomes no UTF-8 again."""

    def __init__(self, raw: Content, head: bytes, encoding: str) -> None:
        """`head`: the first bytes of the file, whose byte order mark counts."""
        super().__init__(raw.path)
        self.reached = raw.reached
        self._raw = raw
        name = codec_name(encoding)
        unmarked = f"{name}-le" if name in _MARKS else name
        self._codec = next((codec for mark, codec in _MARKS.get(name, ()) if head.startswith(mark)), unmarked)
        self._unit = WIDE[name]
        self._window = b""
        self._window_raw = 0

    def peek(self, size: int) -> bytes:
        wanted = size * self._unit + 4  # no character takes fewer bytes of UTF-8 than it takes units here
        data = self._raw.peek(wanted)
        self.reached = self._raw.reached
        return self._decoded(data, wanted)[:size]

    def intact(self, size: int) -> bytes:
        wanted = size * self._unit + 4
        return self._decoded(self._raw.intact(wanted), 0)[:size]

    def _decoded(self, data: bytes, wanted: int) -> bytes:
        at_end = len(data) < wanted
        whole = len(data) - len(data) % self._unit
        if not at_end and self._unit == 2 and _is_high(data[whole - 2 : whole], self._codec):
            whole -= 2  # its other half comes next
        try:
            text = data[:whole].decode(self._codec, "surrogatepass")
        except UnicodeDecodeError as exc:
            raise SourceDamaged(self.path, f"it is not {self._codec} ({exc})") from exc
        self._window = text.encode("utf-8", "surrogatepass")
        self._window_raw = whole
        if at_end and whole < len(data):
            self._window += _CUT_SHORT
            self._window_raw = len(data)
        return self._window

    def advance(self, size: int) -> None:
        if size == len(self._window):
            taken = self._window_raw
        else:
            text = self._window[:size].decode("utf-8", "surrogatepass")
            taken = len(text.encode(self._codec, "surrogatepass"))
        self._raw.advance(taken)
        self._window = self._window[size:]
        self._window_raw -= taken

    def position(self) -> Any:
        return self._raw.position()

    @property
    def consumed(self) -> int:
        return self._raw.consumed

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()


def _is_high(unit: bytes, codec: str) -> bool:
    return bool(unit) and 0xD8 <= unit[1 if codec == "utf-16-le" else 0] <= 0xDB
