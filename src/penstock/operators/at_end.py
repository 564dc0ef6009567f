"""`on_end` of an operator class: rows that it gives once its input is through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import END_OF_TIME
from penstock.operators.flat_map import checked
from penstock.operators.keyed_operator import KeyedCall, KeyFailed
from penstock.operators.keyed_state import StageState
from penstock.operators.pending import Pending

ON_END: Final = "on_end"


class AtEnd(KeyedCall):
    """Asks one instance, once in all lives of the slot; what it gives continues where an earlier life was killed."""

    def __init__(self, on_end: Callable[[], Iterable[Any] | None], state: StageState) -> None:
        self._on_end = on_end
        self._pending = Pending(state)
        self._asked = state.values("asked", bool)

    def end(self) -> Iterator[Any]:
        yield from self._pending.left()
        if self._asked.find(None) is None:
            self._asked.add(None, True)
            yield from self._pending.through(self._rows())

    def _rows(self) -> list[Any]:
        try:
            given = self._on_end()
            return [] if given is None else list(checked(given))
        except BaseException as exc:  # the user's code, be it an exit or a panic
            if is_ctrl_c(exc):
                raise
            return [KeyFailed(None, END_OF_TIME, exc)]


def at_end(fn: Any, state: StageState) -> KeyedCall:
    """For an instance that has `on_end`."""
    return AtEnd(getattr(fn, ON_END), state)
