"""How far event time has come in a stage of one slot: what its operators know, and what its receivers may be told.

The inputs say how far it has come for them (`origin`). Rows that wait for another attempt hold it back: they would be
late otherwise. It never goes back, and what was committed of it holds for every later life.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.operators.event_time import EventTime
from penstock.operators.keyed_operator import KeyedCall
from penstock.slot.watermarks.origin import Origin, together

TELL_S: Final = 0.05
"""Receivers that get no rows are told so often how far event time has come; all of them before the slot sleeps."""


class Timed(Protocol):
    """What is asked of a stage's inputs."""

    def origins(self) -> list[Origin]: ...

    def note_waiting(self) -> None: ...


class StageTime:
    """One stage in one slot."""

    def __init__(self, inputs: Timed, given: EventTime | None, *, is_used: bool = True) -> None:
        """`given`: how the stage gives rows their times; None: they have them already.

        `is_used`: rows have times; if not, all there is to know is that the input is through.
        """
        self._inputs = inputs
        self.is_used = is_used
        self.gives_times = given is not None
        self._disorder_us = 0 if given is None else given.disorder_us
        self._idle_after_s = None if given is None else given.idle_after_s
        self.watermark: int = NO_WATERMARK
        """What the stage's operators know: a row that is older is late."""
        self.idle = False
        """True: nothing that has a time is waited for."""
        self._told: int = NO_WATERMARK
        self.held_back: Callable[[], int] = _nothing_is_held
        """What the stage's watermark may not pass, as rows that wait for another attempt stand there."""
        self.calls: Sequence[KeyedCall] = ()
        """Those that are told how time passes, once they are open."""
        self._late_before = 0

    # In.

    def note(self, origin: Origin, moments: list[int], ingest_ns: int) -> None:
        """Rows from there were given out, and these are their times. `ingest_ns`: as `Origin.note`."""
        if moments:
            origin.note(max(moments) - self._disorder_us, ingest_ns)
            moments.clear()

    def reached(self) -> int:
        """How far event time has come by what is known now."""
        watermark, self.idle = together(self._inputs.origins())
        return max(min(watermark, self.held_back()), self.watermark)

    def settle(self) -> None:
        """Without operators that are told, time passes by itself."""
        if not self.calls:
            self.watermark = self.reached()

    # Out.

    def for_receivers(self) -> int:
        """No row that is given out from now on has an earlier time, but for late ones.

        Never the end of time, which the END of a queue alone tells: operators may give rows when all is over.
        """
        known = self.watermark
        for call in self.calls:
            known = min(known, call.holds_back_us())
        if known != END_OF_TIME:
            self._told = max(self._told, known)
        return self._told

    def count_late(self) -> int:
        """Rows that came late since this was asked last."""
        late = sum(call.late for call in self.calls)
        more, self._late_before = late - self._late_before, late
        return more

    # Inputs that have nothing.

    def look_for_idle(self, now_s: float) -> None:
        """Set aside inputs that have had nothing for too long. `now_s`: by a clock without waits for output."""
        if self._idle_after_s is None:
            return
        self._inputs.note_waiting()
        for origin in self._inputs.origins():
            origin.look(now_s, self._idle_after_s)

    def idle_in_s(self) -> float | None:
        """How long until an input is to be set aside, if nothing comes; None: none is."""
        after_s = self._idle_after_s
        if after_s is None:
            return None
        waits = [origin.idle_in_s(after_s) for origin in self._inputs.origins()]
        return min((wait for wait in waits if wait is not None), default=None)


def _nothing_is_held() -> int:
    return END_OF_TIME
