"""What a shelf is called, as it stands in the log. Not compiled: compiled Structs lose how they are stored."""

from __future__ import annotations

import msgspec


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
