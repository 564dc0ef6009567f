"""What the checks find: mistakes, which stop a run, and warnings, which do not."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.errors import Mistake
from penstock.graph.graph import Where


class Caution(msgspec.Struct, frozen=True):
    """Something that will work but is worth a second thought."""

    file: str
    line: int
    what: str


class Findings(msgspec.Struct, frozen=True):
    """All that was found, in the order of the lines."""

    mistakes: tuple[Mistake, ...] = ()
    cautions: tuple[Caution, ...] = ()


def mistake(where: Where, what: str, remedy: str) -> Mistake:
    return Mistake(where.file, where.line, what, remedy)


def mistake_from(where: Where, subject: str, error: ValueError) -> Mistake:
    """Of an error whose text is "what is wrong; what to write"."""
    what, _, remedy = str(error).partition("; ")
    return mistake(where, f"{subject}: {what}", remedy)


def in_line_order(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Sorted by where the user finds them; the same one twice is told once."""
    return tuple(sorted(dict.fromkeys(mistakes), key=lambda m: (m.file, m.line)))
