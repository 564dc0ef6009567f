"""One file that is being followed: from where it is read on, and how to know it again. Held by `follow`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.connectors.files.content import BLOCK_BYTES, MAX_RECORD_BYTES, Content, DamagedFile, PlainContent
from penstock.connectors.files.identity import MARK_BYTES, NO_MARK, Inode, Mark, head_of, rotations, stat_of
from penstock.connectors.files.line_reader import cut_lines
from penstock.connectors.files.packed import open_content, packing

READ_WHOLE = -1
"""`Place.offset` of a packed file that counts as read, whatever it holds."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read; all that a successor needs, msgpack-able by `dump`."""

    home: str
    """The path under which it is written; rotation gives it others."""
    inode: Inode
    mark: Mark = NO_MARK
    """Of its first bytes."""
    tail: Mark = NO_MARK
    """Of the bytes right before `offset`."""
    offset: int = 0
    """Bytes read, unpacked; after the last whole line."""
    at: Any = None
    """The same as the position of its `Content`."""
    line: int = 1
    """Number of the next line; 0: not known."""

    def dump(self) -> list[Any]:
        marks = [self.mark.length, self.mark.digest, self.tail.length, self.tail.digest]
        return [self.home, self.inode.device, self.inode.number, *marks, self.offset, self.at, self.line]

    @staticmethod
    def load(dumped: Sequence[Any]) -> Place:
        home, device, number, length, digest, tail_length, tail_digest, offset, at, line = dumped
        marks = Mark(length, digest), Mark(tail_length, tail_digest)
        return Place(home, Inode(device, number), *marks, offset, at, line)


class Replaced(Exception):
    """The file under this inode is no longer the one that was read: truncated, or written anew."""


class FollowedFile:
    """Gives whole lines as they come. Holds its descriptor, so that renaming and deleting do not matter."""

    def __init__(self, content: Content, place: Place) -> None:
        self._content = content
        self._plain = content if isinstance(content, PlainContent) else None
        found = Inode.of(self.stat())
        self.complete = self._plain is None or (place.mark.length > 0 and place.inode != found)
        """True: nobody writes to it any more, since it is packed, or a copy of what was read before."""
        self._place = replace(place, inode=found)
        self._looked_at = place.offset

    @property
    def place(self) -> Place:
        return replace(self._place, at=self._content.position())

    @property
    def inode(self) -> Inode:
        return self._place.inode

    def stat(self) -> os.stat_result:
        return os.fstat(self._content.fileno())

    def has_more(self) -> bool:
        """True: there is something not looked at yet, though it may turn out to be less than a line."""
        found = self.stat()
        return self.complete or found.st_nlink == 0 or found.st_size != self._looked_at

    def next_lines(self, *, final: bool) -> tuple[bytes, int] | None:
        """Whole lines and the first one's number; None: nothing new. `final`: its last line is given without an end.

        Raises `Replaced` before a byte of the new content is read.
        """
        if self._plain:
            self._verify(self._plain)
        if self._place.offset == 0:
            self._place = replace(self._place, offset=self._content.skip_bom())
        size = BLOCK_BYTES
        while size <= MAX_RECORD_BYTES:
            data = self._content.peek(size)
            if cut := cut_lines(data, at_end=final and len(data) < size):
                return self._take(data[:cut])
            if len(data) < size:
                self._looked_at = self._place.offset + len(data)
                return None
            size *= 2
        raise self._content.too_long(MAX_RECORD_BYTES, "line")

    def close(self) -> None:
        self._content.close()

    def _take(self, data: bytes) -> tuple[bytes, int]:
        place = self._place
        self._content.advance(len(data))
        offset = place.offset + len(data)
        mark = place.mark
        if self._plain and mark.length < MARK_BYTES:
            mark = Mark.of(self._plain.head(min(offset, MARK_BYTES)))
        self._looked_at = offset
        line = place.line + data.count(b"\n") if place.line else 0
        self._place = replace(place, mark=mark, tail=Mark.of(data[-MARK_BYTES:]), offset=offset, line=line)
        return data, place.line

    def _verify(self, plain: PlainContent) -> None:
        if self.stat().st_size < self._place.offset or not self._place.mark.fits(plain.head(self._place.mark.length)):
            raise Replaced


def begin(path: str, home: str) -> FollowedFile | None:
    """A file that nothing was read of; None: it is gone, or packed and not whole yet."""
    try:
        content = open_content(path)
    except FileNotFoundError:
        return None
    place = Place(home, Inode(0, 0))
    if packing(path):
        head = head_of(path)
        if head is None:
            content.close()
            return None
        place = replace(place, mark=Mark.of(head))
    return FollowedFile(content, place)


def reopen(place: Place, also: Sequence[str]) -> FollowedFile | None:
    """Go on after a restart, wherever the file is now: at home, rotated, packed, or one of `also`. None: gone."""
    for path in (place.home, *(path for path, _ in rotations(place.home)), *also):
        found = stat_of(path)
        if found and Inode.of(found) == place.inode and (file := continue_in(path, place)):
            return file
    return reopen_copy(place)


def reopen_copy(place: Place) -> FollowedFile | None:
    """Go on in a rotated file with the same content: a copy made before truncation, or packed. None: there is none."""
    if not place.mark.length:
        return None
    opened = (continue_in(path, place) for path, _ in rotations(place.home))
    return next((file for file in opened if file), None)


def continue_in(path: str, place: Place) -> FollowedFile | None:
    """Go on in `path` where `place` left off; None: it does not hold what was read until there."""
    head = head_of(path)
    if head is None or not place.mark.fits(head):
        return None
    try:
        content = open_content(path, _before_tail(path, place))
    except (FileNotFoundError, DamagedFile):
        return None
    if place.tail.length:
        tail = content.peek(place.tail.length)
        if Mark.of(tail) != place.tail:
            content.close()
            return None
        content.advance(place.tail.length)
    return FollowedFile(content, place)


def _before_tail(path: str, place: Place) -> Any:
    """The content position from which the bytes of `place.tail` follow."""
    before = place.offset - place.tail.length
    return [0, before] if packing(path) else before


def end_of(path: str) -> Place | None:
    """The place behind the last whole line of a file; a packed file counts as read. None: it is gone."""
    head, found = head_of(path), stat_of(path)
    if head is None or found is None:
        return None
    place = Place(path, Inode.of(found), Mark.of(head), line=0)
    if packing(path):
        return replace(place, offset=READ_WHOLE)
    content = PlainContent(path)
    try:
        offset = content.last_line_end(found.st_size)
        return replace(place, mark=Mark.of(head[:offset]), offset=offset, at=offset)
    finally:
        content.close()
