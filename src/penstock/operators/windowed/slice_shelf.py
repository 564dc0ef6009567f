"""What calls over slices ask of their shelf: accumulators by slice and key.

An accumulator is a list: `[stamp, group, end, key, *places]`. The engine's shelf is `slot/state/slices.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

STAMP: Final = 0
GROUP: Final = 1
END: Final = 2
KEY: Final = 3
PLACES: Final = 4
"""Where the aggregations' places begin."""

Accumulator: TypeAlias = list[Any]


class TouchedAccumulators:
    """Those that were written to since they were last logged, by bands of groups, as the log has them."""

    __slots__ = ("add", "bands", "turn")

    def __init__(self, band_of_group: Sequence[int]) -> None:
        self.turn = 1
        """Grows with each commit. An accumulator with this stamp is in its band."""
        self.bands: list[list[Accumulator]] = [[] for _ in range(max(band_of_group) + 1)]
        self.add: list[Callable[[Accumulator], None]] = [self.bands[band].append for band in band_of_group]
        """What adds an accumulator of each group."""

    def logged(self) -> None:
        """All of them are in the log."""
        self.turn += 1
        for band in self.bands:
            band.clear()


class SliceShelf(Protocol):
    """Accumulators by the end of their slice and by key."""

    slices: dict[int, dict[Any, Accumulator]]
    """Those in memory. A slice or key that is not here may still be in the log, as long as `cold` has something."""
    members: list[list[Accumulator]]
    """Those of each key group, and some that are gone. Whoever makes one puts it here, too."""
    touched: TouchedAccumulators
    cold: set[int]
    """Key groups that are only in the log."""

    groups: dict[Any, int]
    """The groups of some keys, which are all text: those that `group_of` remembers."""

    def group_of(self, key: Any) -> int:
        """The group of a key. Raises `TypeError` for what is no key."""
        ...

    def find(self, end: int, key: Any) -> Accumulator | None:
        """As `slices[end].get(key)`, and reads the key's group of the log if it has to."""
        ...

    def open(self, end: int) -> dict[Any, Accumulator]:
        """The slice that ends there, made if need be."""
        ...

    def take_out(self, accumulator: Accumulator) -> None:
        """It is not on the shelf any more; `slices` may still hold it, until `drop`."""
        ...

    def drop(self, end: int) -> None:
        """All of a slice is gone."""
        ...

    def load_all(self) -> None:
        """Read what is only in the log."""
        ...
