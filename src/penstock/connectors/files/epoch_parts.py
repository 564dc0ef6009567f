"""The files of a sink that waits for checkpoints: parts that are whole from the moment they can be seen.

A part is written beside its place under a hidden name. Then a note says, in one rename, which hidden files are parts,
and what the engine wants to know of them: that is the commit. Only then they are renamed. Killed before the note,
hidden files are removed; killed after it, whoever opens the folder next renames the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from zlib import crc32

import msgspec

from penstock.connectors.folder_sync import sync_folder_of
from penstock.errors import OutputExists, TargetDamaged

_CHECK_BYTES: Final = 4


class Note(msgspec.Struct, frozen=True):
    """The last commit of one slot."""

    record: bytes
    """The engine's."""
    next_number: int
    """Of the slot's next part."""
    parts: tuple[str, ...]
    """Parts of this commit, relative to the folder."""
    fields: tuple[str, ...] = ()
    """The columns of a CSV file, as the first rows had them."""


def hidden(part: str) -> str:
    """Where a part is written before it is one."""
    folder, name = os.path.split(part)
    return os.path.join(folder, f".{name}.new")


class EpochParts:
    """The parts of one slot of a sink in a folder. Parts of others may stand beside them, and so may their notes."""

    def __init__(self, folder: str, suffix: str, slot: int, owner: str) -> None:
        """`owner`: pipeline and stage, in a form that fits a file's name."""
        self.folder = folder
        self.suffix = suffix
        self._slot = slot
        self._note = os.path.join(folder, f".part-{slot}.{owner}.applied")
        self._known: os.stat_result | None = None
        """The note as this writer has read or written it."""

    def name(self, partition: str, number: int) -> str:
        """A part, relative to the folder."""
        return os.path.join(partition, f"part-{self._slot}-{number}{self.suffix}")

    def path(self, part: str) -> str:
        return os.path.join(self.folder, part)

    def commit(self, note: Note) -> None:
        """Make these parts, which are hidden and on the disk. Raises `OSError`."""
        data = msgspec.msgpack.encode(note)
        new = self._note + ".new"
        with open(new, "wb") as file:
            file.write(crc32(data).to_bytes(_CHECK_BYTES, "little") + data)
            file.flush()
            os.fsync(file.fileno())
            made = os.fstat(file.fileno())
        os.rename(new, self._note)  # the commit
        self._known = made
        sync_folder_of(self._note)
        _show(self.folder, note)

    def require_still(self) -> None:
        """Raise `TargetDamaged` where the folder was removed, or another writer has been here: rows are missing."""
        try:
            there = os.stat(self._note)
        except (FileNotFoundError, NotADirectoryError):
            if self._known is None:
                return
            what = f"it was removed while rows were being written to it: {self._note}, its note of them, is gone"
            raise TargetDamaged(self.folder, what) from None
        if self._known is None or not os.path.samestat(there, self._known):
            what = f"another run writes to it: {self._note} is not what this one wrote; give each a folder of its own"
            raise TargetDamaged(self.folder, what)

    def sync(self, parts: Iterable[str]) -> None:
        """Have the names in the folders of these parts on the disk."""
        for folder in sorted({os.path.dirname(self.path(part)) for part in parts}):
            sync_folder_of(os.path.join(folder, "part"))

    def last(self) -> Note | None:
        """The last commit, all of whose parts can be seen now. Raises `TargetDamaged`."""
        found = _shown(self.folder, self._note)
        if found is None:
            return None
        note, self._known = found
        return note

    def clean(self) -> int:
        """Remove hidden files of commits that never were; the highest number of the slot's parts that are there."""
        # Hidden files that others have committed are none of those.
        for note in _notes_in(self.folder, str(self._slot)):
            _shown(self.folder, note)
        highest = -1
        stale = re.compile(rf"\.part-{self._slot}-\d+{re.escape(self.suffix)}\.new")
        part = re.compile(rf"part-{self._slot}-(\d+){re.escape(self.suffix)}")
        for folder, _, names in os.walk(self.folder):
            for name in names:
                if stale.fullmatch(name):
                    os.unlink(os.path.join(folder, name))
                elif found := part.fullmatch(name):
                    highest = max(highest, int(found[1]))
        return highest


def refuse(folder: str, suffix: str, if_exists: str) -> None:
    """Look at what is there before a fresh run; see `Sink.refuse`."""
    if if_exists == "error" and (present := next(iter(_parts_in(folder, suffix)), None)) is not None:
        raise OutputExists(present)


def prepare(folder: str, suffix: str, if_exists: str) -> None:
    """Clear the ground for a fresh run; see `Sink.prepare`. What was committed before, and is appended to, stays."""
    for note in list(_notes_in(folder, r"\d+")):
        if if_exists == "append":
            _shown(folder, note)
        else:
            os.unlink(note)
    for part in list(_parts_in(folder, suffix)) if if_exists == "overwrite" else ():
        os.unlink(part)
    stale = re.compile(rf"\.part-\d+(-\d+{re.escape(suffix)}|\..+\.applied)\.new")
    for above, _, names in os.walk(folder):
        for name in names:
            if stale.fullmatch(name):
                os.unlink(os.path.join(above, name))


def _shown(folder: str, path: str) -> tuple[Note, os.stat_result] | None:
    """A note, all of whose parts can be seen now, and what it is as a file; None: there is none."""
    try:
        with open(path, "rb") as file:
            data, known = file.read(), os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    body = data[_CHECK_BYTES:]
    if len(data) < _CHECK_BYTES or crc32(body).to_bytes(_CHECK_BYTES, "little") != data[:_CHECK_BYTES]:
        raise TargetDamaged(path, "the note of what is complete does not hold what was written")
    try:
        note = msgspec.msgpack.decode(body, type=Note)
    except msgspec.MsgspecError as exc:
        raise TargetDamaged(path, f"the note of what is complete cannot be read ({exc})") from exc
    _show(folder, note)
    return note, known


def _show(folder: str, note: Note) -> None:
    for part in note.parts:
        new = os.path.join(folder, hidden(part))
        if os.path.lexists(new):
            os.rename(new, os.path.join(folder, part))
    # Those who read parts may take them away, with the folder of a partition. The others count from the next note on.
    for within in sorted({os.path.dirname(os.path.join(folder, part)) for part in note.parts}):
        if os.path.isdir(within):
            sync_folder_of(os.path.join(within, "part"))


def _notes_in(folder: str, slot: str) -> Iterator[str]:
    """The notes of all writers. `slot`: of which one, as a pattern."""
    pattern = re.compile(rf"\.part-{slot}\..+\.applied")
    yield from (os.path.join(folder, name) for name in sorted(_listing(folder)) if pattern.fullmatch(name))


def _parts_in(folder: str, suffix: str) -> Iterable[str]:
    pattern = re.compile(rf"part-\d+(-\d+)?{re.escape(suffix)}")
    for above, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.join(above, name) for name in sorted(names) if pattern.fullmatch(name))


def _listing(folder: str) -> Sequence[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
