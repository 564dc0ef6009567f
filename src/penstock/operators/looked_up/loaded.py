"""A whole table by key, in memory: loaded when a worker begins, and again when its source has changed, if asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from penstock.errors import PenstockError
from penstock.operator import Context
from penstock.operators.looked_up.loading import rows_of_source
from penstock.source import Source

KeyOf: TypeAlias = Callable[[Any], Any]
Clock: TypeAlias = Callable[[], float]


def by_key(source: Source[Any], key_of: KeyOf, on: str, context: Context) -> dict[Any, Any]:
    """The rows of a table by their keys. Raises `PenstockError` for a row that has none, or one that another has."""
    for problem in source.check_source():  # files may have gone since the run was checked; none is no empty table
        raise PenstockError(f"{source.target}: {problem}")
    found: dict[Any, Any] = {}
    for number, row in enumerate(rows_of_source(source, context), 1):
        try:
            key = key_of(row)
            is_new = key not in found
        except Exception as error:  # of the user's function, or of a value that is no key
            what = f"{source.target}: its row {number} has no key by {on} ({type(error).__name__}: {error})"
            raise PenstockError(f"{what}; correct the table, or `on`") from error
        if not is_new:
            raise PenstockError(
                f"{source.target}: two of its rows have the key {key!r} by {on}; a lookup gives one row for a key: "
                "remove one, or look up by another key"
            )
        found[key] = row
    return found


class Loaded:
    """What is called for a row: `match(key)`, or `inner(row)` and `left(row)` with the row's own key."""

    def __init__(self, source: Source[Any], table_key: KeyOf, on: str, key_of: KeyOf) -> None:
        self._source = source
        self._table_key = table_key
        self._on = on
        self.key_of = key_of
        self.rows: Mapping[Any, Any] = {}

    def open(self, context: Context) -> None:
        """Load the table."""
        self.rows = by_key(self._source, self._table_key, self._on, context)


class Inner(Loaded):
    """A row without a match gives nothing."""

    def __call__(self, row: Any) -> tuple[tuple[Any, Any], ...]:
        key = self.key_of(row)
        rows = self.rows
        return ((row, rows[key]),) if key in rows else ()


class Left(Loaded):
    """A row without a match gives None in its place."""

    def __call__(self, row: Any) -> tuple[Any, Any]:
        return row, self.rows.get(self.key_of(row))


class Reloaded:
    """The same, looked at again every so often. A table that cannot be read then stays as it was, with a warning."""

    def __init__(
        self, loaded: Inner | Left, source: Source[Any], every_s: float, clock: Clock = time.monotonic
    ) -> None:
        self._loaded = loaded
        self._source = source
        self._every_s = every_s
        self._clock = clock
        self._look_at = 0.0
        self._stamp: Any = None
        self._context: Context | None = None

    def open(self, context: Context) -> None:
        self._context = context
        self._load(self._source.stamp(), context)

    def __call__(self, row: Any) -> Any:
        if self._clock() >= self._look_at:
            self._look()
        return self._loaded(row)

    def _look(self) -> None:
        context = self._context
        assert context is not None
        try:
            stamp = self._source.stamp()
            if stamp is None or stamp != self._stamp:
                self._load(stamp, context)
        except Exception as error:  # the table's, whatever it is; the rows loaded before are whole
            context.log.warning("%s cannot be read again, and stays as it was: %s", self._source.target, error)
        self._look_at = self._clock() + self._every_s

    def _load(self, stamp: Any, context: Context) -> None:
        # The stamp is older than what is read: a change in between is found at the next look.
        self._loaded.open(context)
        self._stamp = stamp
        self._look_at = self._clock() + self._every_s
