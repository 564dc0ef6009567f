"""`scan`: a running value for each key, and a row for each row."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final

from penstock.operators.event_time import EventTime
from penstock.operators.expiry import Expiry
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator, KeyOf
from penstock.operators.keyed_state import StageState, Values
from penstock.operators.scan_step import ScanStep
from penstock.operators.undo_log import UndoLog
from penstock.options import Duration, parse_duration
from penstock.signatures.annotations import returned_by, shown, taken_by
from penstock.signatures.fields_read import both, fields_of, fields_read
from penstock.signatures.row_classes import can_take

_GRAINS: Final = 16
"""A key is kept for its time to live, and for up to so small a part of it more."""


class Scan(KeyedOperator, frozen=True):
    """`fn(state, row)` returns the key's next state and the row to pass on."""

    verb: ClassVar[str] = "scan"
    arguments: ClassVar[tuple[str, ...]] = ("the state", "the row")
    needs_result: ClassVar[str] = "return the state and the row, as a tuple"

    initial: Any = None
    """The state before the first row of a key."""
    ttl: Duration | None = None
    """A key that has no row for so long is forgotten; None: never."""
    migrate: Callable[[Any], Any] | None = None
    """Makes a state of one that was stored by code with another type of state."""
    time: EventTime | None = None
    """How rows were given their times; None: `ttl` is by the wall clock."""

    @property
    def row_taken(self) -> Any:
        return taken_by(self.fn, 1)

    def row_given(self, before: Any) -> Any:
        return _parts(returned_by(self.fn))[1]

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        return both(fields_of([self.key], row_class), fields_read(self.fn, row_class, 1))

    @property
    def state_type(self) -> Any:
        """The annotation of a state: of what `fn` returns, of what it takes, or the class of the first one."""
        for said in (_parts(returned_by(self.fn))[0], taken_by(self.fn)):
            if said is not Any:
                return said
        return Any if self.initial is None else type(self.initial)

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        given = returned_by(self.fn)
        if given is not None and not can_take(tuple, given):
            yield f"{name} returns {shown(given)}, but must return the state and the row, as a tuple", "return both"
        if self.ttl is not None:
            try:
                parse_duration(self.ttl)
            except ValueError as error:
                wrong, _, remedy = str(error).partition("; ")
                yield f"{name}: ttl: {wrong}", remedy
        if self.migrate is not None and not callable(self.migrate):
            yield f"{name}: migrate is {self.migrate!r}, which cannot be called", "pass a function of the old state"
        taken = taken_by(self.fn)
        if not can_take(taken, type(self.initial)):
            what = f"{name} takes a state that is {shown(taken)}, but the first one is {shown(type(self.initial))}"
            yield what, f"begin with one that is {shown(taken)}"

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        shelf = state.values("", self.state_type, self.migrate)
        if self.ttl is None:
            return ScanCall(ScanStep(fn, self.key, self.initial, shelf, undo), alone=undo.alone)
        undo.alone = False
        time_of = None if self.time is None else self.time.moment_of(self.time.function())
        ttl_us = round(parse_duration(self.ttl) * 1e6)
        step = ScanStep(fn, self.key, self.initial, shelf, undo)
        return ForgettingScan(step, self.key_of(), ttl_us, time_of, state, shelf)


class ScanCall(KeyedCall):
    """One slot's `scan`."""

    def __init__(self, step: ScanStep, *, alone: bool) -> None:
        """`alone`: as `UndoLog.alone`."""
        self.step = self._step = step
        self.over = step.over if alone else None

    def __call__(self, row: Any) -> Any:
        return self._step(row)


class ForgettingScan(KeyedCall):
    """A `scan` that forgets keys which have no rows for a while."""

    def __init__(
        self, step: Callable[[Any], Any], key_of: KeyOf, ttl_us: int, time_of: Callable[[Any], int] | None,
        state: StageState, shelf: Values,
    ) -> None:
        self._step = step
        self._key_of = key_of
        self._ttl_us = ttl_us
        self._grain_us = max(ttl_us // _GRAINS, 1)
        self._time_of = time_of
        self._state = state
        self._shelf = shelf
        self._expiry = Expiry(state, "until")

    def __call__(self, row: Any) -> Any:
        key = self._key_of(row)
        now = self._state.now_us() if self._time_of is None else self._time_of(row)
        until = self._expiry.until(key)
        if until is not None and until < now:
            entry = self._shelf.find(key)
            if entry is not None:
                self._shelf.remove(entry)
        # In grains, so that not every row of a key writes it.
        self._expiry.keep_until(key, (now + self._ttl_us) // self._grain_us * self._grain_us + self._grain_us)
        return self._step(row)

    def advance(self, watermark_us: int) -> Iterable[Any]:
        if self._time_of is not None:
            self._forget(watermark_us)
        return ()

    @property
    def next_tick_us(self) -> int | None:  # type: ignore[override]
        due = self._expiry.next_us() if self._time_of is None else None
        return None if due is None else due + self._grain_us

    def tick(self, now_us: int) -> Iterable[Any]:
        self._forget(now_us)
        return ()

    def _forget(self, now_us: int) -> None:
        for key in self._expiry.passed(now_us):
            entry = self._shelf.find(key)
            if entry is not None:
                self._shelf.forget(entry)


def _parts(annotation: Any) -> tuple[Any, Any]:
    """The two of a `tuple[S, R]`."""
    args = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple and len(args) == 2 and args[1] is not Ellipsis:
        return args[0], args[1]
    return Any, Any
