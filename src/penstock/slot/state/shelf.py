"""What every kind of shelf is to the room: it gives its changes to be logged, and is filled from the log by groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import msgspec

from penstock.slot.state.change import Change, ChangeCodec


class ShelfName(msgspec.Struct, frozen=True, array_like=True):
    """What a shelf is called, and what is on it; stands in the log."""

    stage: str
    operator: str
    """The verb, with a number behind it where the stage has several of them."""
    name: str
    kind: str
    type: str
    """The annotation of a value, down to its fields."""

    def __str__(self) -> str:
        return f"{self.operator} in stage {self.stage!r}" + (f", {self.name!r}" if self.name else "")


class Shelf(Protocol):
    """One shelf of a stage."""

    name: ShelfName
    codec: ChangeCodec

    def changes(self) -> Iterator[tuple[int, Change]]:
        """What was written since `logged`, band by band, in the order in which it must be read."""
        ...

    def logged(self) -> None:
        """What `changes` gave is in the log."""
        ...

    def load(self, group: int, changes: Iterable[Change]) -> None:
        """Put in what the log says of a group, of which nothing is here yet."""
        ...


class Cold:
    """The groups of a slot's state that are still only in the log. Shelves ask for a group before they use it."""

    def __init__(self, load: Callable[[int], None]) -> None:
        """`load`: reads a group into all shelves, and takes it out of `groups`."""
        self.groups: set[int] = set()
        self.load = load
