"""Lists the files of a data folder that no pattern of `feeds` names: they were not read, and their lines say how much.

A system whose files have another name than expected would else be accounted for by not being there.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from analytics.feeds import FEEDS, units_of

_LISTED = 8
"""Files of one folder that are listed one by one; more are told together."""
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Unread:
    """A file that no pattern names."""

    file: str
    """Below the data folder."""
    lines: int | None
    """None: it cannot be read."""

    @property
    def folder(self) -> str:
        """The folder that it is in."""
        return self.file.rpartition("/")[0]


def unread(data: Path) -> list[Unread]:
    """All files below `data` that belong to no unit, by name."""
    named = {file for feed in FEEDS for unit in units_of(data, feed) for file in unit.files}
    others = (path for path in data.rglob("*") if path.is_file() and path.relative_to(data).as_posix() not in named)
    found = [Unread(path.relative_to(data).as_posix(), _lines(path)) for path in others]
    return sorted(found, key=lambda one: (one.folder, one.file))


def _lines(path: Path) -> int | None:
    lines, last = 0, b"\n"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                lines += piece.count(b"\n")
                last = piece[-1:]
    except (OSError, EOFError, zlib.error):
        return None
    return lines + (last != b"\n")


def told(files: Sequence[Unread]) -> str:
    """How many there are, then each of them; a folder of many such files is one line."""
    if not files:
        return "no file was left unread"
    lines = sum(one.lines or 0 for one in files)
    head = f"not read, since no pattern names them: {len(files):,} files with {lines:,} lines"
    return "\n".join([head, *(f"  {line}" for line in _listed(files))])


def _listed(files: Sequence[Unread]) -> Iterator[str]:
    for folder, group in groupby(files, key=lambda one: one.folder):
        here = list(group)
        if len(here) > _LISTED:
            yield f"{folder}/: {len(here):,} files, {sum(one.lines or 0 for one in here):,} lines"
            continue
        for one in here:
            yield f"{one.file}: {'cannot be read' if one.lines is None else f'{one.lines:,} lines'}"
