"""`process`: a class of the user's with state and timers for each key."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import END_OF_TIME
from penstock.operators.at_end import ON_END
from penstock.operators.flat_map import checked
from penstock.operators.key_state import KeyState, bound_state, fields_of_state, seconds
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator, KeyFailed, KeyOf
from penstock.operators.keyed_state import StageState
from penstock.operators.pending import Pending
from penstock.operators.timers import KeyTimers
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes, CallText
from penstock.signatures.annotations import element_of, returned_by, shown, taken_by
from penstock.signatures.callables import dir_of_instances

_REMEDY = (
    "declare a class with what is kept for each key, class Kept(ps.KeyState): count = ps.ValueState(0), and annotate "
    "the second argument with it"
)
ON_TIMER = "on_timer"
ON_WALL_TIMER = "on_wall_timer"


class Process(KeyedOperator, frozen=True):
    """`fn(row, state)` gives rows to pass on, or None; `state` is of the class that its annotation names."""

    verb: ClassVar[str] = "process"
    arguments: ClassVar[tuple[str, ...]] = ("the row", "the state")
    becomes: ClassVar[Becomes] = Becomes.ROWS
    code_names: ClassVar[Mapping[str, Any]] = {"rows_of_call": lambda given: () if given is None else checked(given)}
    needs_result: ClassVar[str] = ""

    has_times: bool = False
    """True: rows have event times."""

    def code(self, call: CallText, row: str) -> str:
        return f"rows_of_call({call(row)})"

    @property
    def state_class(self) -> Any:
        return taken_by(self.fn, 1)

    def row_given(self, before: Any) -> Any:
        given = returned_by(self.fn)
        if given is None or any(self._method(name) for name in (ON_TIMER, ON_WALL_TIMER, ON_END)):
            return Any
        return element_of(given)

    def _method(self, name: str) -> Any:
        methods = dir_of_instances(self.fn if inspect.isclass(self.fn) else type(self.fn))
        return methods.get(name)

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        declared = self.state_class
        if not (inspect.isclass(declared) and issubclass(declared, KeyState)):
            named = "is not annotated" if declared is Any else f"is annotated {shown(declared)}"
            yield f"{name}: the state that it takes {named}", _REMEDY
        elif not fields_of_state(declared) and not self._method(ON_TIMER) and not self._method(ON_WALL_TIMER):
            yield f"{name}: {shown(declared)} declares nothing that is kept", "add a field: count = ps.ValueState(0)"
        if self._method(ON_TIMER) is not None and not self.has_times:
            yield (
                f"{name} has on_timer, but its rows have no event time",
                'write .event_time("field") where they are read, or on_wall_timer for the clock on the wall',
            )

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        return ProcessCall(fn, self.key_of(), self.state_class, undo, state)


class ProcessCall(KeyedCall):
    """One slot's `process`."""

    def __init__(
        self, fn: Any, key_of: KeyOf, declared: type[KeyState], undo: UndoLog, state: StageState
    ) -> None:
        self._fn = fn
        self._key_of = key_of
        self._undo = undo
        self._timers = KeyTimers(
            state, fires=hasattr(fn, ON_TIMER), fires_by_wall=hasattr(fn, ON_WALL_TIMER)
        )
        self._state = bound_state(declared, state, self._timers)
        self._pending = Pending(state)

    def __call__(self, row: Any) -> Any:
        self._state._key = self._key_of(row)
        return self._fn(row, self._state)

    @property
    def next_tick_us(self) -> int | None:  # type: ignore[override]
        return self._timers.next_by_wall() if hasattr(self._fn, ON_WALL_TIMER) else None

    def advance(self, watermark_us: int) -> Iterator[Any]:
        yield from self._pending.left()
        if hasattr(self._fn, ON_TIMER):
            for at_us, key in self._timers.due(watermark_us):
                yield from self._rows_of(self._fn.on_timer, key, at_us, seconds(at_us))

    def tick(self, now_us: int) -> Iterator[Any]:
        yield from self._pending.left()
        for at_us, key in self._timers.due_by_wall(now_us):
            yield from self._rows_of(self._fn.on_wall_timer, key, at_us, seconds(at_us))

    def end(self) -> Iterator[Any]:
        yield from self._pending.left()
        if hasattr(self._fn, ON_END):
            for key in self._keys():
                yield from self._rows_of(self._fn.on_end, key, END_OF_TIME, forgets=True)

    def _rows_of(
        self, call: Callable[..., Any], key: Any, at_us: int, *time: float, forgets: bool = False
    ) -> Iterator[Any]:
        """What a call gives that no row has caused. It is all in the state before the first of it is passed on."""
        self._undo.begin()
        self._state._key = key
        try:
            given = call(self._state, *time)
            rows = [] if given is None else list(checked(given))
        except BaseException as exc:  # the user's code, be it an exit or a panic
            if is_ctrl_c(exc):
                raise
            self._undo.roll_back()
            rows = [KeyFailed(key, at_us, exc)]
        if forgets:
            self._state.clear()
        self._undo.begin()
        yield from self._pending.through(rows)

    def _keys(self) -> list[Any]:
        """Those of which something is kept."""
        kept = {entry.key: None for shelf in self._state._shelves.values() for entry in shelf.all()}
        return list(kept | dict.fromkeys(self._timers.keys()))
