"""What keyed operators ask of the state of their stage: shelves of values by key, in memory, logged with each commit.

A shelf has a kind: one value by key, values by key in slices of time, lists, maps. The engine's shelves are in
`slot/state`; here is what an operator sees of them.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

GONE: Final = -1
"""The stamp of an entry that was removed."""
BEGINNING_OF_TIME: Final = -(2**63)
END_OF_TIME: Final = 2**63 - 1
"""The watermark of an input that has ended, in microseconds as all event time."""


class Entry:
    """What is kept for one key. Whoever changes `value` says so to the shelf (`touch`), before or after."""

    __slots__ = ("group", "key", "stamp", "value")

    def __init__(self, key: Any, value: Any, group: int) -> None:
        self.key = key
        self.value = value
        self.group = group
        """The key's group (`channel/keys.py`)."""
        self.stamp = 0
        """The turn of the shelf in which it was last written to; `GONE`: it is not in the shelf any more."""


class Touched:
    """The entries of a shelf that were written to since they were last logged."""

    __slots__ = ("entries", "turn")

    def __init__(self) -> None:
        self.turn = 1
        """Grows with each commit."""
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Have it logged with the next commit. Only where its stamp is not the turn's: it is there already."""
        self.entries.append(entry)
        entry.stamp = self.turn  # last: interrupted between the two, it is logged twice rather than never

    def logged(self) -> None:
        """All of them are in the log."""
        self.entries = []
        self.turn += 1


class Values(Protocol):
    """A shelf with one value by key. What it writes is taken back if the row in progress fails."""

    entries: dict[Any, Entry]
    """Those in memory. A key that is not here may still be in the log: `find` knows."""
    touched: Touched

    def find(self, key: Any) -> Entry | None:
        """The entry of a key; None: there is none. Raises `TypeError` for what is no key."""
        ...

    def add(self, key: Any, value: Any) -> Entry:
        """Make the entry of a key that has none."""
        ...

    def keep(self, entry: Entry) -> None:
        """Keep the value as it is now, in case the row fails. Call it before user code is given the value."""
        ...

    def touch(self, entry: Entry) -> None:
        """The value was changed, or will be: it is logged with the next commit."""
        ...

    def remove(self, entry: Entry) -> None:
        """Take the key out."""
        ...

    def all(self) -> list[Entry]:
        """Every entry, those that are only in the log included."""
        ...


class StageState(Protocol):
    """The state of one operator of a stage, in one slot. Shelves are asked for once, when the operator is opened."""

    @property
    def watermark_us(self) -> int:
        """Event time of the stage, as it stood before the rows in progress were taken: what is older is late."""
        ...

    def values(self, name: str, type: Any = Any) -> Values:
        """The shelf of this name. `type`: the annotation of a value; a change of it is refused."""
        ...
