"""One bounded file while a reader has it open: its content as UTF-8 where that is wide, and a watch on its changes."""

from __future__ import annotations

import logging
from typing import Any

from penstock.connectors.files.content import Content
from penstock.connectors.files.file_kind import LOOKED_AT_BYTES, not_text
from penstock.connectors.files.packed import open_content
from penstock.connectors.files.unchanged import FileWatch, Seen
from penstock.connectors.files.wide import WideContent, is_wide
from penstock.errors import SourceDamaged

_MARK_BYTES = 3


class ReadFile:
    """The content of a file from `at` on (None: its beginning, behind a byte order mark)."""

    def __init__(
        self, path: str, at: Any = None, *, seen: Any = None, planned: Any = None, ranged: bool = False,
        encoding: str = "utf-8", log: logging.Logger | None = None,
    ) -> None:
        """`seen`: what an earlier life dumped; `planned`: what stood there when the run was planned.

        `ranged`: others read other parts of it. Raises `SourceDamaged`.
        """
        content = open_content(path, at)
        try:
            self._watch = FileWatch(content.fileno(), path, log)
            self._last = None if seen is None else Seen.load(seen)
            if self._last is not None:
                self._watch.resumed(self._last)
            elif planned is not None:
                self._watch.planned(planned, whole=not ranged)
            self.content = self._as_text(content, at, path, encoding)
        except BaseException:
            content.close()
            raise

    def _as_text(self, content: Content, at: Any, path: str, encoding: str) -> Content:
        if is_wide(encoding):
            wide = WideContent(content, first_bytes(path, content, at), encoding)
            if at is None:
                wide.skip_bom()
            return wide
        if at is None:
            head = _beginning(content)
            require_text(path, head)
            if len(head) >= _MARK_BYTES:
                content.skip_bom()
        return content

    def look(self, size: int) -> tuple[bytes, SourceDamaged | None]:
        """(the next `size` bytes, None), or what is whole before damage and the damage. Nothing more: the end."""
        try:
            data = self.content.peek(size)
        except SourceDamaged as damage:
            return self.content.intact(size), damage
        if len(data) < size:
            return data, self._watch.damage(self.content.reached, last=self._last)
        return data, None

    def check(self, *, end: int | None) -> None:
        """Raise `SourceDamaged` where the file became another one before its part up to `end` was read."""
        damage = self._watch.damage(self.content.consumed, last=self._last, end=end)
        if damage is not None:
            raise damage

    def seen(self) -> list[Any]:
        """What a successor must know of the file."""
        self._last = self._watch.seen(self.content.consumed)
        return self._last.dump

    def close(self) -> None:
        self.content.close()


def first_bytes(path: str, content: Content, at: Any) -> bytes:
    """The first bytes of a file, unpacked, of which a part may be read already."""
    if at is None:
        return _beginning(content)
    beginning = open_content(path)
    try:
        return _beginning(beginning)
    finally:
        beginning.close()


def _beginning(content: Content) -> bytes:
    """The first bytes, as far as they are whole: damage behind them is told once what stands before it is given."""
    try:
        return content.peek(LOOKED_AT_BYTES)
    except SourceDamaged:
        return content.intact(LOOKED_AT_BYTES)


def require_text(path: str, head: bytes) -> None:
    """Raise `SourceDamaged` for a file that begins as no text does."""
    what, remedy = not_text(head)
    if what:
        raise SourceDamaged(path, what, remedy)
