"""Finds the events of a file that come again far later, in another stretch than the first: `ingest` tells them along.

Within a stretch `harvest` sees by itself what comes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from analytics.events import Part
from analytics.harvest import Format, accepted

Repeats: TypeAlias = Mapping[int, Sequence[tuple[str, int]]]
"""By line, counted from 0: the ids that an earlier line had, and which one had them first."""


def repeats(part: Part, format: Format, id_of: Callable[[str], str] | None = None) -> Repeats:
    """What comes again in a file. `id_of`: a quick way to a line's id, where a line has one event at most."""
    if not format.repeats:
        return {}
    first: dict[str, int] = {}
    found: dict[int, list[tuple[str, int]]] = {}
    for at, text in enumerate(part.lines):
        for id in _ids(part, format, at) if id_of is None else (id_of(text),):
            if not id:
                continue
            before = first.setdefault(id, at)
            if before == at:
                continue
            if id_of is not None and id not in _ids(part, format, before):
                first[id] = at  # the earlier line is malformed: this one is the first that counts
            else:
                found.setdefault(at, []).append((id, before))
    return found


def _ids(part: Part, format: Format, at: int) -> list[str]:
    """The ids of a line's events; none where it is malformed."""
    text = part.lines[at]
    if not text:
        return []
    try:
        return [event.id for event in accepted(format.parser(), part.file, part.first + at, text)]
    except Exception:  # malformed: `harvest` says so, and why
        return []


def known(repeats: Repeats, begin: int, end: int) -> list[str]:
    """Ids in the lines from `begin` to `end` that came before `begin`."""
    if not repeats:
        return []
    return [id for at in range(begin, end) for id, first in repeats.get(at, ()) if first < begin]
