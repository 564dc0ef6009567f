"""Key groups in bands: what a commit writes is logged band by band, so that reading one group needs a part of the log.

Pure. A group by itself would be too little: a commit of few keys would write a frame for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from penstock.operators.keyed_state import Entry
from penstock.plan.membership import KEY_GROUPS

E = TypeVar("E", bound=Entry)

_GROUPS_OF_A_BAND: Final = 16
BANDS: Final = KEY_GROUPS // _GROUPS_OF_A_BAND
ALL_BANDS: Final = -1
"""Of changes that concern every group."""


def band_of(group: int) -> int:
    """The band of a group."""
    return group // _GROUPS_OF_A_BAND


def groups_of(band: int) -> range:
    """The groups of a band."""
    return range(band * _GROUPS_OF_A_BAND, (band + 1) * _GROUPS_OF_A_BAND)


def banded(entries: Iterable[E]) -> dict[int, list[E]]:
    """Entries by the band of their group, in their order."""
    bands: dict[int, list[E]] = {}
    for entry in entries:
        band = entry.group // _GROUPS_OF_A_BAND
        found = bands.get(band)
        if found is None:
            bands[band] = [entry]
        else:
            found.append(entry)
    return bands
