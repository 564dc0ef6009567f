"""Where a sink writes: one file, or a directory with a file per slot. Names the files; `prepare` clears the ground.

A path is a directory where it ends in a slash, is one already, or several workers write to it.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from penstock.connectors.folder_sync import make_folder
from penstock.errors import OutputExists, TargetDamaged

_NAME_BYTES = 255 - len("..spool.new")
"""Beside a file stand hidden ones, named by it."""

IfExists: TypeAlias = Literal["error", "append", "overwrite"]


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The files that one slot writes, by number; only number 0 where the slot's output is not `numbered`."""

    path: str
    suffix: str
    slot: int
    workers: int
    numbered: bool

    @property
    def single(self) -> bool:
        """True: the path is the one file."""
        return not (self.workers > 1 or names_directory(self.path))

    @property
    def directory(self) -> str:
        return os.path.dirname(self.path) if self.single else self.path

    def name(self, number: int) -> str:
        """The file with that number."""
        if self.single:
            return self.path
        tail = f"-{number}" if self.numbered else ""
        return os.path.join(self.path, f"part-{self.slot}{tail}{self.suffix}")

    def hidden(self, number: int, kind: str) -> str:
        """A file beside `name(number)` that only its writer looks at."""
        folder, base = os.path.split(self.name(number))
        return os.path.join(folder, f".{base}.{kind}")

    def numbers(self) -> list[int]:
        """The numbers of this slot's files that are there, hidden ones included, sorted."""
        if self.single or not self.numbered:
            return [0] if os.path.exists(self.name(0)) else []
        pattern = re.compile(rf"\.?part-{self.slot}-(\d+){re.escape(self.suffix)}(\.\w+)*")
        found = (pattern.fullmatch(name) for name in _listing(self.path))
        return sorted({int(match[1]) for match in found if match})

    def make_directory(self) -> None:
        """Make the directory that the files stand in."""
        if not self.single and os.path.isfile(self.path):
            raise NotADirectoryError(
                f"{self.path} is a file, but {self.workers} workers write a file each: "
                "give a directory (a path that ends in /), or workers=1"
            )
        make_folder(self.directory or ".")

    def remove(self, number: int) -> None:
        """Make away with a file and what is hidden beside it."""
        for path in (self.name(number), *glob.glob(glob.escape(self.hidden(number, "")) + "*")):
            Path(path).unlink(missing_ok=True)


def require_length(fd: int, path: str, length: int) -> None:
    """Raise `TargetDamaged` where somebody else cut the open file, or wrote behind what was written to it.

    Writing on would leave a hole of null bytes, or overwrite what the other one wrote.
    """
    there = os.fstat(fd).st_size
    if there < length:
        raise TargetDamaged(path, f"somebody truncated it while rows were written: it has {there} of {length} bytes")
    if there > length:
        raise TargetDamaged(path, f"somebody else wrote {there - length} bytes to it while rows were written to it")


def require_still(fd: int, path: str) -> None:
    """Raise `TargetDamaged` where the open file does not stand at its path any more: its rows would go nowhere."""
    try:
        there = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise TargetDamaged(path, "it was removed or renamed while rows were being written to it") from None
    if not os.path.samestat(there, os.fstat(fd)):
        raise TargetDamaged(path, "another file took its place while rows were being written to it")


def names_directory(path: str) -> bool:
    """True: the path means a directory, whatever the number of workers."""
    return path.endswith("/") or os.path.isdir(path)


def refuse(path: str, suffix: str, if_exists: IfExists) -> None:
    """Look at what is at the target before a fresh run; see `Sink.refuse`."""
    present = present_files(path, suffix)
    if present and if_exists == "error":
        raise OutputExists(present[0])


def prepare(path: str, suffix: str, if_exists: IfExists) -> None:
    """Make away with what is to be overwritten, and with hidden leftovers; see `Sink.prepare`."""
    for found in present_files(path, suffix) if if_exists == "overwrite" else ():
        os.unlink(found)
    for spool in _leftovers(path, suffix):
        os.unlink(spool)


def present_files(path: str, suffix: str) -> list[str]:
    """The files at the target that a sink of this kind has written."""
    if not os.path.isdir(path):
        return [path] if os.path.lexists(path) else []
    pattern = re.compile(rf"part-\d+(-\d+)?{re.escape(suffix)}")
    return sorted(os.path.join(path, name) for name in _listing(path) if pattern.fullmatch(name))


def _leftovers(path: str, suffix: str) -> list[str]:
    """Hidden files of a run that was discarded."""
    if not os.path.isdir(path):
        folder, base = os.path.split(path)
        pattern = re.compile(rf"\.{re.escape(base)}\.(spool|base|new)(\.new)?")
    else:
        folder, pattern = path, re.compile(rf"\.part-\d+(-\d+)?{re.escape(suffix)}\.(spool|base|new)(\.new)?")
    return [os.path.join(folder, name) for name in _listing(folder or ".") if pattern.fullmatch(name)]


def _listing(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def problems(path: str, if_exists: str) -> list[str]:
    """What is wrong with a target, in words, found without writing."""
    found = []
    if if_exists not in ("error", "append", "overwrite"):
        found.append(f'if_exists={if_exists!r} is unknown; it is "error", "append" or "overwrite"')
    if longest := _too_long(path):
        return [*found, longest]
    above = Path(path).absolute()
    while not above.exists() and above != above.parent:
        above = above.parent
    if above.is_dir() and not os.access(above, os.W_OK | os.X_OK):
        found.append(f"{path} cannot be written: no permission in {above}")
    elif above.is_file() and above != Path(path).absolute():
        found.append(f"{path} cannot be written: {above} is a file")
    elif above.is_file() and path.endswith("/"):
        found.append(f"{path} cannot be written: {path.rstrip('/')} is a file")
    elif above.is_file() and not os.access(above, os.W_OK):
        found.append(f"{path} cannot be written: permission denied")
    return found


def _too_long(path: str) -> str:
    for name in map(os.fsencode, Path(path).parts):
        if len(name) > _NAME_BYTES:
            return f"{path} cannot be written: a name in it has {len(name)} bytes, but only {_NAME_BYTES} are possible"
    return ""
