"""What keyed verbs have in common: state by the key of the row, and rows that time gives rather than a row.

The verb is the plan's; what stands for it in a worker is a `KeyedCall`, which has the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from penstock.event_time import END_OF_TIME
from penstock.operators.field_key import field_getter
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Operator

KeyOf = Callable[[Any], Any]


class KeyFailed(msgspec.Struct, frozen=True):
    """Given in the place of a row: user code raised for a key when its time had come."""

    key: Any
    at_us: int
    """The time that had come."""
    error: BaseException


class RowLoop(msgspec.Struct, frozen=True):
    """What is done with each row, as text: a call less for each of them."""

    before: Sequence[str]
    """Statements in front of the loop."""
    lines: Sequence[str]
    """Statements that take in `row`, and give nothing. They may `continue`."""
    names: Mapping[str, Any]
    """What these use."""


class KeyedCall:
    """A keyed operator in one slot. `call(row)` gives what the verb's `becomes` says.

    Rows that the other methods give pass through the operators behind it, and are sent in the commit of the state that
    they leave behind. They may be asked for in any order but this: `end` comes once, after `advance(END_OF_TIME)`.
    """

    next_tick_us: int | None = None
    """When it wants `tick`, by the wall clock; None: not at all."""
    step: Callable[[Any], Any] | None = None
    """What is called for a row in the place of the call itself, where that is quicker."""
    loop: RowLoop | None = None
    """The same for a whole loop over rows; None: there is no such text."""
    over: Callable[[Iterator[Any], list[Any]], None] | None = None
    """Does what `step` does for rows one after the other and appends what it gives; None: there is no such thing."""
    late: int = 0
    """Rows that came too late, since it was made."""

    def begin(self, watermark_us: int) -> None:
        """A life begins, in which event time has come so far already. Called before all others, where there is time."""

    def __call__(self, row: Any) -> Any:
        raise NotImplementedError

    def advance(self, watermark_us: int) -> Iterable[Any]:
        """Event time has reached this, and rows before it will count as late. Called with growing values."""
        return ()

    def tick(self, now_us: int) -> Iterable[Any]:
        """It is `next_tick_us` by the wall clock, or later."""
        return ()

    def end(self) -> Iterable[Any]:
        """The input is through; nothing comes after this."""
        return ()

    def holds_back_us(self) -> int:
        """Rows of this event time and later may still come out of what it holds; `END_OF_TIME`: it holds nothing."""
        return END_OF_TIME


class KeyedOperator(Operator, frozen=True):
    """A verb behind `key_by`."""

    writes_state: ClassVar[bool] = True

    key: Any = None
    """As `key_by` was given it: the name of a field, or a function, called once more in the worker with the state."""

    def key_of(self) -> KeyOf:
        """What gives the key of a row."""
        return field_getter(self.key) if isinstance(self.key, str) else self.key

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        """What is called in a worker. `undo` is for what it writes to anything but its shelves, which do it alone."""
        raise NotImplementedError

    def without_undo(self, fn: Callable[..., Any], state: StageState) -> KeyedCall | None:
        """The same, where no row can fail any more; its shelves must note nothing either. None: no difference."""
        return None


def keyed(operators: Iterable[Operator]) -> Iterator[KeyedOperator]:
    """Those that keep state by key."""
    return (one for one in operators if isinstance(one, KeyedOperator))
