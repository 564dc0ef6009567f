"""Key groups in bands: what a commit writes is logged band by band, so that reading one group needs a part of the log.

Pure. A group by itself would be too little: a commit of few keys would write a frame for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from penstock.operators.keyed_state import BAND_SHIFT, BANDS, Entry
from penstock.plan.membership import KEY_GROUPS

E = TypeVar("E", bound=Entry)

GROUPS_OF_A_BAND: Final = 1 << BAND_SHIFT
ALL_BANDS: Final = -1
"""Of changes that concern every group."""
COLUMNS_BAND: Final = BANDS
"""Of columns, in which keys of all groups stand in one table."""
COLUMNS_GROUP: Final = KEY_GROUPS
"""The group that stands for them: the first one of that band, and the only one of which there is something."""


def band_of(group: int) -> int:
    """The band of a group."""
    return group >> BAND_SHIFT


def groups_of(band: int) -> range:
    """The groups of a band."""
    return range(band * GROUPS_OF_A_BAND, (band + 1) * GROUPS_OF_A_BAND)


def banded(entries: Iterable[E]) -> dict[int, list[E]]:
    """Entries by the band of their group, in their order."""
    bands: dict[int, list[E]] = {}
    for entry in entries:
        band = entry.group >> BAND_SHIFT
        found = bands.get(band)
        if found is None:
            bands[band] = [entry]
        else:
            found.append(entry)
    return bands


def deal(groups: bytes, column: list[Any], hands: list[list[Any]]) -> None:
    """Deal out what stands in a column of one band: to the group's place in the band."""
    for place in range(len(column)):
        hands[groups[place] & (GROUPS_OF_A_BAND - 1)].append(column[place])
