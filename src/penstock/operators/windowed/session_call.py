"""Sessions in a worker: those of a key are one value on a shelf; a heap says whose may be complete."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import NO_WATERMARK
from penstock.operators.keyed_operator import KeyedCall, KeyFailed
from penstock.operators.keyed_state import GONE, Entry, Values
from penstock.operators.undo_log import UndoLog
from penstock.operators.windowed.changes import changes, is_due
from penstock.operators.windowed.spec import CallSpec, put_late
from penstock.windows import sessions
from penstock.windows.accumulators import function
from penstock.windows.sessions import FIRST, Session

GIVEN: Final = 2
"""Place in a session: the results that were given of it before it was complete, as (start, end, results)."""
PLACES: Final = 3


class SessionCall(KeyedCall):
    """Sessions of all keys of a slot."""

    def __init__(self, spec: CallSpec, gap: int, shelf: Values, undo: UndoLog | None) -> None:
        self.late = 0
        self.shelf = shelf
        self.gap = gap
        self.closed: int = NO_WATERMARK
        self._lateness = spec.lateness_us
        self._undo = undo
        self._moment = spec.moment
        code = spec.code(PLACES)
        key, names = spec.keyed(code)
        self._key_of = function("row", [f"return {key}"], names)
        self._made = made = spec.accumulators(PLACES)
        self._first, self._copy = made.first, made.copy
        self._row = spec.row_of_values()
        self._heap: list[tuple[int, int, Entry]] = []
        """(end of its first session, or earlier; a number that is no other's; entry), once for each entry."""
        self._numbers = itertools.count()
        self._known = set[int]()
        """The entries in the heap, by identity."""
        self._whole = False
        """True: all entries of the shelf are in memory, and in the heap."""
        self._early_us, self._retracts = spec.early_us, spec.retracts
        self._watermark: int = NO_WATERMARK

    def begin(self, watermark_us: int) -> None:
        self._watermark = watermark_us
        self.closed = watermark_us - self._lateness

    def __call__(self, row: Any) -> None:
        time = self._moment(row)
        if sessions.is_late(time, self.closed):
            if self._undo is not None:
                self._undo.note(put_late, self, self.late)
            self.late += 1
            return
        key = self._key_of(row)
        entry = self.shelf.entries.get(key)
        if entry is None:
            entry = self.shelf.find(key)
        if entry is None:
            entry = self.shelf.add(key, [self._first(row, time, (time, time, []))])
        else:
            self._add(entry, row, time)
        self._remember(entry)

    def _add(self, entry: Entry, row: Any, time: int) -> None:
        before: list[Session] = entry.value
        if self._undo is not None:
            self._undo.note(_put_sessions, entry, before, list(map(self._copy_of, before)))
        now = sessions.add_row(
            before, time, self.gap, lambda: self._first(row, time, (time, time, [])),
            lambda session: self._made.update(session, row, time), self._merged,
        )
        entry.value = now
        self.shelf.touch(entry)

    def _copy_of(self, session: Session) -> Session:
        copy = self._copy(session)
        copy[GIVEN] = list(session[GIVEN])
        return copy

    def _merged(self, session: Session, other: Session) -> Session:
        both = self._copy_of(session)
        self._made.merge(both, other)
        both[GIVEN] = [*session[GIVEN], *other[GIVEN]]
        return both

    def _remember(self, entry: Entry) -> None:
        if id(entry) not in self._known:
            self._known.add(id(entry))
            heapq.heappush(self._heap, (sessions.end_of(entry.value[0], self.gap), next(self._numbers), entry))

    # Time.

    def advance(self, watermark_us: int) -> Iterable[Any]:
        before, self._watermark = self._watermark, watermark_us
        early = self._early_us is not None and is_due(before, watermark_us, self._early_us)
        return self._pass(watermark_us - self._lateness, early)

    def _pass(self, closed: int, early: bool) -> Iterator[Any]:
        if not self._whole:
            for entry in self.shelf.all():
                self._remember(entry)
            self._whole = True
        while self._heap and self._heap[0][0] <= closed:
            _, _, entry = heapq.heappop(self._heap)
            self._known.discard(id(entry))
            yield from self._complete(entry, closed)
        self.closed = closed
        if early:
            for entry in list(self.shelf.entries.values()):
                for session in list(entry.value):
                    yield from self._give(entry, session)

    def _complete(self, entry: Entry, closed: int) -> Iterator[Any]:
        if entry.stamp == GONE:  # of a row that failed
            return
        complete, _ = sessions.split_complete(entry.value, self.gap, closed)
        for session in complete:
            if self._early_us is not None:
                yield from self._give(entry, session)
                self._leave(entry, session)
            else:
                end, results = sessions.end_of(session, self.gap), self._results(entry.key, session)
                failed = results if isinstance(results, KeyFailed) else None
                row = failed or self._safe_row(entry.key, session[FIRST], end, results)  # type: ignore[arg-type]
                self._leave(entry, session)
                yield row
        if entry.stamp != GONE:
            self._remember(entry)

    def _leave(self, entry: Entry, session: Session) -> None:
        entry.value = [one for one in entry.value if one is not session]
        if entry.value:
            self.shelf.touch(entry)
        else:
            self.shelf.remove(entry)

    def _give(self, entry: Entry, session: Session) -> Iterator[Any]:
        """The results of a session, if they are not those that were given of it last."""
        now = self._results(entry.key, session)
        if isinstance(now, KeyFailed):
            yield now
            return
        latest = (session[FIRST], sessions.end_of(session, self.gap), now)
        for given in [given for given in session[GIVEN] if given != latest]:
            rows = changes(given, None, partial(self._row_of, entry.key), lambda _: None, retracts=self._retracts)
            self._note(entry, session, [one for one in session[GIVEN] if one != given])
            yield from rows
        if latest not in session[GIVEN]:
            self._note(entry, session, [*session[GIVEN], latest])
            yield from changes(None, latest, partial(self._row_of, entry.key), lambda _: None, retracts=self._retracts)

    def _note(self, entry: Entry, session: Session, given: list[Any]) -> None:
        session[GIVEN] = given
        self.shelf.touch(entry)

    def _row_of(self, key: Any, given: tuple[Any, ...]) -> Any:
        start, end, results = given
        return self._safe_row(key, start, end, results)

    def _results(self, key: Any, session: Session) -> tuple[Any, ...] | KeyFailed:
        try:
            return self._made.results(session)
        except BaseException as exc:  # of a result of the user's own
            if is_ctrl_c(exc):
                raise
            return KeyFailed(key, sessions.end_of(session, self.gap), exc)

    def _safe_row(self, key: Any, start: int, end: int, results: tuple[Any, ...]) -> Any:
        try:
            return self._row(key, start, end, results)
        except BaseException as exc:  # of the class of the row
            if is_ctrl_c(exc):
                raise
            return KeyFailed(key, end, exc)

    def holds_back_us(self) -> int:
        """What is given from now on ends later than this."""
        return self.closed


def _put_sessions(entry: Entry, value: list[Session], copies: list[Session]) -> None:
    """Undo: the entry has these sessions, with what they had in them."""
    for session, copy in zip(value, copies, strict=True):
        session[:] = copy
    entry.value = value
