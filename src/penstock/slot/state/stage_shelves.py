"""The state of one stage, and of each of its operators: the shelves that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.event_time import NO_WATERMARK
from penstock.operators.undo_log import UndoLog
from penstock.signatures.described_type import described_type
from penstock.slot.state.buffers import BufferShelf
from penstock.slot.state.columns import ColumnShelf
from penstock.slot.state.lists import ListShelf
from penstock.slot.state.maps import MapShelf
from penstock.slot.state.shelf import EngineShelf
from penstock.slot.state.shelf_name import ShelfName
from penstock.slot.state.slices import SliceShelf
from penstock.slot.state.values import ValueShelf

if TYPE_CHECKING:
    from penstock.slot.state.slot_state import SlotState

S = TypeVar("S", bound=EngineShelf[Any] | SliceShelf | ColumnShelf)


class StageShelves:
    """The state of one stage."""

    def __init__(self, stage: str, room: SlotState) -> None:
        self.stage = stage
        self.room = room
        self.undo = UndoLog()
        self.watermark_us = NO_WATERMARK
        self._operators: dict[str, int] = {}

    def of(self, verb: str) -> OperatorState:
        """The state of the next operator of this verb."""
        count = self._operators[verb] = self._operators.get(verb, 0) + 1
        return OperatorState(self, verb if count == 1 else f"{verb}#{count}")


class OperatorState:
    """As `keyed_state.StageState` says: the shelves of one operator."""

    def __init__(self, stage: StageShelves, operator: str) -> None:
        self._stage = stage
        self._operator = operator

    @property
    def watermark_us(self) -> int:
        return self._stage.watermark_us

    def now_us(self) -> int:
        return self._stage.room.now_us()

    def values(
        self, name: str, type: Any = Any, migrate: Callable[[Any], Any] | None = None, *, in_memory: bool = False
    ) -> ValueShelf:
        shelf = self._shelf(ValueShelf, name, type, in_memory)
        shelf.migrate = migrate
        return shelf

    def lists(self, name: str, type: Any = Any, *, in_memory: bool = False) -> ListShelf:
        return self._shelf(ListShelf, name, type, in_memory)

    def maps(self, name: str, type: Any = Any) -> MapShelf:
        return self._shelf(MapShelf, name, type)

    def buffers(self, name: str, type: Any = Any) -> BufferShelf:
        return self._shelf(BufferShelf, name, type)

    def slices(self, name: str, type: Any = Any) -> SliceShelf:
        return self._shelf(SliceShelf, name, type, in_memory=True)

    def columns(self, name: str, type: Any = Any) -> ColumnShelf:
        return self._shelf(ColumnShelf, name, type, in_memory=True)

    def _shelf(self, kind: type[S], name: str, value: Any, in_memory: bool = False) -> S:
        stage, room = self._stage, self._stage.room
        called = ShelfName(stage.stage, self._operator, name, kind.kind, described_type(value))
        shelf = kind(called, value, stage.undo, room.cold, copies=room.copies)
        room.add(shelf, in_memory=in_memory)
        return shelf
