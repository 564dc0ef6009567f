"""New splits of a source, found while the run is in progress; each slot takes its share of them by name."""

from __future__ import annotations

from collections.abc import Container
from typing import Any
from zlib import crc32

from penstock.operator import Context
from penstock.options import parse_duration
from penstock.slot.time_and_chance import Clock
from penstock.source import Source


def is_of_slot(name: str, slot: int, workers: int) -> bool:
    """Whether a split that was found while running is read by this slot of so many."""
    return crc32(name.encode()) % workers == slot


class Discovery:
    """Asks a source for its splits again, every `Source.discover_every`."""

    def __init__(self, source: Source[Any], frozen: frozenset[str], context: Context, clock: Clock) -> None:
        """`frozen`: the names of all splits that were there at the start."""
        self._source = source
        self._frozen = frozen
        self._context = context
        self._now_s = clock.now_s
        self.every_s = parse_duration(source.discover_every) if source.discover_every is not None else None
        self._asked_at = clock.now_s()

    def found(self, known: Container[str]) -> dict[str, Any]:
        """New splits of this slot, by name; empty while it is not time to ask."""
        if self.every_s is None or self._now_s() < self._asked_at + self.every_s:
            return {}
        self._asked_at = self._now_s()
        return {
            name: split for name, split in self._source.splits().items()
            if self._is_mine(name) and name not in known and name not in self._frozen
        }

    def _is_mine(self, name: str) -> bool:
        return is_of_slot(name, self._context.slot, self._context.workers)
