"""What was found for keys, for a while: bounded, the keys that were not asked for the longest go first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

Found: TypeAlias = tuple[Any, ...]
"""The rows of a key; empty: it has none."""


class Cache:
    """Of one worker."""

    def __init__(self, keys: int, max_age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._max_age_s = max_age_s
        self._clock = clock
        self._found: OrderedDict[Any, tuple[float, Found]] = OrderedDict()

    def now(self) -> float:
        """The time to ask `get` by, the same for many keys."""
        return self._clock()

    def get(self, key: Any, now: float) -> Found | None:
        """What was found for a key; None: it is not known, or too old."""
        kept = self._found.get(key)
        if kept is None:
            return None
        if now >= kept[0]:
            del self._found[key]
            return None
        self._found.move_to_end(key)
        return kept[1]

    def put(self, key: Any, found: Found, asked_at: float) -> None:
        """Keep it until it is too old, counted from when it was asked for."""
        self._found[key] = (asked_at + self._max_age_s, found)
        self._found.move_to_end(key)
        if len(self._found) > self._keys:
            self._found.popitem(last=False)

    def __len__(self) -> int:
        return len(self._found)
