"""A lookup that asks a database, in a worker: for all keys of a batch at once, but for those that it knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from penstock.errors import PenstockError
from penstock.lookup_table import LookupTable, TableReader
from penstock.operator import Context, Unavailable
from penstock.operators.looked_up.cache import Cache, Found

_MOST_KEYS: Final = 1_000
"""Of one question."""


class Asking:
    """What is called for a batch of rows."""

    def __init__(
        self, table: LookupTable[Any], on: str, key_of: Callable[[Any], Any], cache: Cache, *, is_left: bool
    ) -> None:
        """`is_left`: rows whose key has no row are given, too."""
        self._table = table
        self._on = on
        self._key_of = key_of
        self._cache = cache
        self._is_left = is_left
        self._reader: TableReader | None = None

    def open(self, context: Context) -> None:
        self._reader = self._table.open(self._on, context)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def __call__(self, rows: Sequence[Any]) -> list[tuple[Any, Any]]:
        keys = list(map(self._key_of, rows))
        found = self._found(keys)
        pairs = []
        for row, key in zip(rows, keys):
            matches = found[key]
            if len(matches) > 1:
                raise PenstockError(
                    f"{self._table.target} has {len(matches)} rows with the key {key!r}; a lookup gives one row for a "
                    "key: name a column that is unique, or a query that gives one row"
                )
            if matches:
                pairs.append((row, matches[0]))
            elif self._is_left:
                pairs.append((row, None))
        return pairs

    def _found(self, keys: Sequence[Any]) -> dict[Any, Found]:
        """What there is for each of these keys."""
        now, known = self._cache.now(), dict[Any, Found]()
        unknown = []
        for key in dict.fromkeys(keys):
            found = () if key is None else self._cache.get(key, now)  # NULL is equal to nothing
            if found is None:
                unknown.append(key)
            else:
                known[key] = found
        for start in range(0, len(unknown), _MOST_KEYS):
            part = unknown[start : start + _MOST_KEYS]
            asked_at = self._cache.now()
            for key, rows in zip(part, self._asked(part), strict=True):
                known[key] = tuple(rows)
                self._cache.put(key, known[key], asked_at)
        return known

    def _asked(self, keys: Sequence[Any]) -> Sequence[Sequence[Any]]:
        assert self._reader is not None
        try:
            return self._reader.find(keys)
        except Unavailable:
            raise
        except Exception as error:  # whatever the connector raises: what it does not understand, or a row of no type
            what = f"the key {keys[0]!r}" if len(keys) == 1 else f"{len(keys)} keys, {keys[0]!r} first"
            raise PenstockError(f"{self._table.target} cannot be asked by {self._on} for {what}: {error}") from error
