"""One file that is being followed: from where it is read on, and how to know it again. Held by `follow`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.connectors.files.content import (
    BLOCK_BYTES,
    MAX_RECORD_BYTES,
    BreaksOff,
    Content,
    FileGone,
    PlainContent,
)
from penstock.connectors.files.identity import MARK_BYTES, NO_MARK, Inode, Mark, Sighting, head_of, rotations, sighting
from penstock.connectors.files.line_reader import cut_lines
from penstock.connectors.files.packed import open_content, packing
from penstock.connectors.files.read_file import require_text
from penstock.errors import SourceDamaged

READ_WHOLE = -1
"""`Place.offset` of a packed file that counts as read, whatever it holds."""
_COMPARED = 16
"""This many places of two files are compared, besides their ends."""


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
    size: int = -1
    """The file's size when it was left, read to its end; -1: it was not."""
    mtime_ns: int = 0
    """When it was written to last, then."""

    def dump(self) -> list[Any]:
        inode = [self.inode.device, self.inode.number, self.inode.born_ns]
        marks = [self.mark.length, self.mark.digest, self.tail.length, self.tail.digest]
        return [self.home, *inode, *marks, self.offset, self.at, self.line, self.size, self.mtime_ns]

    @staticmethod
    def load(dumped: Sequence[Any]) -> Place:
        home, device, number, born, length, digest, tail_length, tail_digest, *rest = dumped
        return Place(home, Inode(device, number, born), Mark(length, digest), Mark(tail_length, tail_digest), *rest)

    def is_as_left(self, seen: Sighting) -> bool:
        """True: the file is the one that was read to its end, and nothing was written to it since."""
        return (seen.inode, seen.size, seen.mtime_ns) == (self.inode, self.size, self.mtime_ns)


class Replaced(Exception):
    """The file under this inode is no longer the one that was read: truncated, or rewritten."""


class FollowedFile:
    """Gives whole lines as they come. Holds its descriptor, so that renaming and deleting do not matter."""

    def __init__(self, content: Content, place: Place, path: str) -> None:
        """`path`: where it stands now."""
        self._content = content
        self.path = path
        self._plain = content if isinstance(content, PlainContent) else None
        found = Inode.of(content.fileno(), self.stat())
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

    @property
    def is_packed(self) -> bool:
        return self._plain is None

    def stat(self) -> os.stat_result:
        return os.fstat(self._content.fileno())

    def has_more(self) -> bool:
        """True: there is something not looked at yet, though it may turn out to be less than a line."""
        found = self.stat()
        return self.complete or found.st_nlink == 0 or found.st_size != self._looked_at

    def next_lines(self, *, final: bool) -> tuple[bytes, int] | None:
        """Whole lines and the first one's number; None: nothing new. `final`: its last line is given without an end.

        Raises `Replaced` before a byte of the new content is read, and `SourceDamaged`.
        """
        if self._plain:
            self._verify(self._plain)
        if self._place.offset == 0:
            self._begin_text()
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

    def is_replaced(self) -> bool:
        """True: it was truncated, or rewritten."""
        try:
            if self._plain:
                self._verify(self._plain)
        except Replaced:
            return True
        return False

    def begins_with(self, path: str) -> bool:
        """True: what is at `path` may be a copy of this file, whole or in the making."""
        if self._plain is None:
            return False
        if self.is_replaced():
            return True  # right now: which copy is its own is seen next time
        try:
            other = open_content(path)
        except FileGone:
            return True  # looked at again, if it comes back
        try:
            if not isinstance(other, PlainContent):
                data = other.peek(BLOCK_BYTES)
                return data == self._plain.head(len(data))
            size = os.fstat(other.fileno()).st_size
            return size <= self.stat().st_size and all(
                os.pread(other.fileno(), length, offset) == os.pread(self._plain.fileno(), length, offset)
                for offset, length in _samples(size)
            )
        except SourceDamaged:  # packed, and in the making
            return True
        finally:
            other.close()

    def close(self) -> None:
        self._content.close()

    def _begin_text(self) -> None:
        head = self._content.peek(MARK_BYTES)
        require_text(self.path, head)
        self._place = replace(self._place, offset=self._content.skip_bom())

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
        place = self._place
        if self.stat().st_size < place.offset or not place.mark.fits(plain.head(place.mark.length)):
            raise Replaced
        before = os.pread(plain.fileno(), place.tail.length, place.offset - place.tail.length)
        if Mark.of(before) != place.tail:  # many files of one program begin alike
            raise Replaced


def _samples(size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of what is compared of a file: all of a small one, parts of a large one, always its ends."""
    if size <= _COMPARED * MARK_BYTES:
        yield 0, size
        return
    for number in range(_COMPARED):
        yield (size - MARK_BYTES) * number // (_COMPARED - 1), MARK_BYTES


def begin(path: str, home: str) -> FollowedFile | None:
    """A file that nothing was read of; None: it is gone, or packed and not whole yet."""
    try:
        content = open_content(path)
    except FileGone:
        return None
    place = Place(home, Inode(0, 0))
    if packing(path):
        head = head_of(path)
        if head is None:
            content.close()
            return None
        place = replace(place, mark=Mark.of(head))
    return FollowedFile(content, place, path)


def reopen(place: Place, also: Sequence[str], others: Collection[Inode]) -> FollowedFile | None:
    """Go on after a restart, wherever the file is now: at home, rotated, packed, or one of `also`. None: gone.

    `others`: files that are known to be other ones.
    """
    for seen in _where_it_may_be(place, also):
        if seen.inode == place.inode and (file := continue_in(seen.path, place)):
            return file
    return reopen_copy(place, others)


def _where_it_may_be(place: Place, also: Sequence[str]) -> Iterator[Sighting]:
    if at_home := sighting(place.home):
        yield at_home
    yield from rotations(place.home)
    yield from (seen for path in also if path != place.home and (seen := sighting(path)))


def reopen_copy(place: Place, others: Collection[Inode]) -> FollowedFile | None:
    """Go on in a rotated file with the same content: a copy made before truncation, or packed. None: there is none.

    The newest of several: many files of one program begin alike.
    """
    if not place.mark.length:
        return None
    copies = [seen for seen in rotations(place.home) if seen.inode != place.inode and seen.inode not in others]
    opened = (continue_in(seen.path, place) for seen in reversed(copies))
    return next((file for file in opened if file), None)


def continue_in(path: str, place: Place) -> FollowedFile | None:
    """Go on in `path` where `place` left off; None: it does not hold what was read until there."""
    try:
        return continue_in_whole(path, place)
    except BreaksOff:
        return None


def continue_in_whole(path: str, place: Place) -> FollowedFile | None:
    """As `continue_in`. Raises `BreaksOff` where that cannot be told yet: a packed file in the making."""
    head = head_of(path)
    if place.offset == READ_WHOLE or head is None or not place.mark.fits(head):
        return None
    try:
        content = open_content(path, _before_tail(path, place))
    except BreaksOff:
        raise
    except SourceDamaged:
        return None
    try:
        is_same = Mark.of(content.peek(place.tail.length)) == place.tail
    except BreaksOff:
        content.close()
        raise
    except SourceDamaged:
        is_same = False
    if not is_same:
        content.close()
        return None
    content.advance(place.tail.length)
    return FollowedFile(content, place, path)


def _before_tail(path: str, place: Place) -> Any:
    """The content position from which the bytes of `place.tail` follow."""
    before = place.offset - place.tail.length
    return [0, before] if packing(path) else before


def place_of(path: str, home: str, *, at_end: bool) -> Place | None:
    """The place at the beginning of a file, or behind its last whole line; None: it is gone, or packed and not whole.

    At the end, a packed file counts as read.
    """
    head, seen = head_of(path), sighting(path)
    if head is None or seen is None:
        return None
    place = Place(home, seen.inode, Mark.of(head))
    if not at_end:
        return place
    if packing(path):
        return replace(place, offset=READ_WHOLE, size=seen.size, mtime_ns=seen.mtime_ns)
    content = PlainContent(path)
    try:
        offset = content.last_line_end(seen.size)
        length = min(offset, MARK_BYTES)
        tail = Mark.of(os.pread(content.fileno(), length, offset - length))
        return replace(place, mark=Mark.of(head[:offset]), tail=tail, offset=offset, at=offset, line=0)
    finally:
        content.close()
