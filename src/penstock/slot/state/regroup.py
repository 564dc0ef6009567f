"""Changelogs for other slots than those that wrote them: each new one gets the frames that its key groups need. Pure.

Frames are copied as they stand, and none of the user's types is decoded. A frame may have changes of groups that the
new slot does not own: `Part` in front of it says which groups count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from penstock.plan.membership import KEY_GROUPS
from penstock.slot.records.committed_log import frame
from penstock.slot.state.bands import ALL_BANDS, COLUMNS_BAND, COLUMNS_GROUP, groups_of
from penstock.slot.state.frames import Band, Catalogue, Part, Snapshot, decode_body, encode_body

_ALL: Final = frozenset(range(KEY_GROUPS))
_EVERYTHING: Final = frame(encode_body(Part(b"")))
"""What the new slot appends counts whatever it is about."""


def regrouped(logs: Iterable[tuple[Iterable[bytes], Iterable[int]]]) -> Iterator[bytes]:
    """A new log, frame by frame; nothing where no log has anything of its groups.

    `logs`: of each old slot the bodies of its frames in order, and the groups that the new one takes from it. Raises
    `msgspec.MsgspecError` for a body that is none.
    """
    found = False
    for bodies, groups in logs:
        wanted = frozenset(groups)
        if not wanted:
            continue
        for data in _wanted(bodies, wanted):
            found = True
            yield frame(data)
    if found:
        yield _EVERYTHING


def _wanted(bodies: Iterable[bytes], wanted: frozenset[int]) -> Iterator[bytes]:
    """The bodies of one old log that a new one needs."""
    counted, said = wanted, False
    for data in bodies:
        body = decode_body(data)
        if isinstance(body, Part):  # this log was made of others, too
            counted, said = wanted & (frozenset(body.groups) if body.groups else _ALL), False
        elif isinstance(body, Catalogue):  # it names the shelves of whatever comes behind it
            yield data
        elif _counts(body, counted):
            if not said:
                yield encode_body(Part(bytes(sorted(counted))))
                said = True
            yield data


def _counts(body: Band | Snapshot, counted: frozenset[int]) -> bool:
    if body.group == COLUMNS_GROUP if isinstance(body, Snapshot) else body.band in (ALL_BANDS, COLUMNS_BAND):
        return bool(counted)  # keys of all groups
    if isinstance(body, Snapshot):
        return body.group in counted
    return not counted.isdisjoint(groups_of(body.band))


def taken_from(old: Sequence[int], new: Sequence[int], slot: int) -> dict[int, list[int]]:
    """The groups that a slot of the new table takes from each slot of the old one."""
    taken: dict[int, list[int]] = {}
    for group, (was, becomes) in enumerate(zip(old, new, strict=True)):
        if becomes == slot:
            taken.setdefault(was, []).append(group)
    return taken
