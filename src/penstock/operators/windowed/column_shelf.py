"""What calls over columns ask of their shelf: partial results, which are appended and now and then merged.

The engine's shelf is `slot/state/columns.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class ColumnShelf(Protocol):
    """Partial results (`windows/columnar/partials.py`), and which windows were given already."""

    merge: Callable[[Sequence[Any]], Any]
    """Makes one partial of several of one schema. Raises `NotInColumns` where that cannot be done."""
    done: int
    """All windows that end there or before were given."""

    def least_end(self) -> int | None:
        """No slice ends before this; None: there is none."""
        ...

    def append(self, partial: Any, least_end: int) -> None:
        """The partial of a batch. It is logged as it is, and merged with others when they have become many."""
        ...

    def partials(self) -> list[Any]:
        """All there is, in the order in which it came: one if everything is of one schema and could be merged."""
        ...

    def note_given(self, window: int, keys: Any, start: int, stop: int) -> None:
        """These of a window's keys are about to be given; others of it follow."""
        ...

    def not_given(self, window: int, partial: Any) -> Any:
        """The rows of a window's partial whose keys were not given."""
        ...

    def windows(self) -> list[int]:
        """Those of which some keys were given, and not all."""
        ...

    def given(self, window: int) -> list[Any]:
        """The keys of a window that were given."""
        ...

    def note_done(self, window: int, floor: int) -> None:
        """A window and all before it were given, and slices that end at `floor` or before are needed no more."""
        ...

    def clear(self) -> None:
        """Forget all partials and keys: they are kept elsewhere from now on."""
        ...
