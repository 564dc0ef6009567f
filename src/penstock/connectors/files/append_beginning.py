"""Where a fresh run begins in output that is appended to: noted on disk before the first row is written.

Until the first commit there is no position, so a successor could not tell rows of its predecessor from those that were
there before the run.
"""

from __future__ import annotations

import os
from pathlib import Path

from penstock.connectors.files.part_files import PartFiles


def beginning(files: PartFiles, *, append: bool) -> tuple[int, int]:
    """File number and length at which a slot begins that has no position yet; the same on every attempt."""
    if not append:
        return 0, 0
    note = _note(files)
    if not note.exists():
        number, length = _behind_what_is_there(files)
        new = note.with_name(note.name + ".new")
        new.write_text(f"{number} {length}")
        new.rename(note)
    number, length = map(int, note.read_text().split())
    return number, length


def forget(files: PartFiles) -> None:
    """Make away with the note. Called once a position is committed, and at the end."""
    _note(files).unlink(missing_ok=True)


def _behind_what_is_there(files: PartFiles) -> tuple[int, int]:
    present = files.numbers()
    if not present:
        return 0, 0
    if files.numbered and not files.single:
        return present[-1] + 1, 0
    return 0, os.path.getsize(files.name(0))


def _note(files: PartFiles) -> Path:
    return Path(files.hidden(0, "base"))
