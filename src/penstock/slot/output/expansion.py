"""How much a `flat_map` function may give for one row: counted while it runs, logged, ended at a limit.

A generator may never end, and each of its rows takes room. `spool` puts into a file what is too much for memory, and
asks here, as programs of rows do where no file can be used.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from penstock.ctrl_c import is_ctrl_c
from penstock.errors import PenstockError
from penstock.operator import Reject
from penstock.slot.time_and_chance import MACHINE, Clock

log = logging.getLogger("penstock.worker")
SAMPLE_ROWS = 32
"""This many are taken before anybody asks how large they are, which costs more than most rows give."""
_CHUNK_ROWS = 256
_CHUNK_BYTES = 1024 * 1024
_CHUNK_S = 1.0
_SAMPLED_OF_CHUNK = 8
_USUAL_ROW_BYTES = 1024
TELL_S = 5.0
"""After this long a row whose function still runs is logged, and again whenever that time has doubled."""


class ExpansionTooLarge(Reject, PenstockError):
    """A row gives more than it may, or than there is room for. Another attempt would find the same."""


class Expansion:
    """The limit of one stage in one worker."""

    def __init__(
        self, stage: str, most_bytes: int, row_name: Callable[[], str], clock: Clock = MACHINE
    ) -> None:
        """`row_name`: the idempotency key of the row in progress."""
        self.stage = stage
        self.most_bytes = most_bytes
        self._row_name = row_name
        self._clock = clock

    def growth(self) -> Growth:
        """What one row gives, from now on."""
        return Growth(self.stage, self.most_bytes, self._row_name, self._clock)

    def as_rows(self, result: Iterable[Any]) -> list[Any]:
        """All that a function gave, as a list. Raises `ExpansionTooLarge`."""
        if isinstance(result, (list, tuple)):
            return list(result)
        rest = iter(result)
        rows = list(islice(rest, SAMPLE_ROWS))
        if len(rows) == SAMPLE_ROWS:
            growth = self.growth()
            growth.sampled(rows)
            for chunk in growth.chunks(rest):
                rows += chunk
        return rows


class Growth:
    """How much one row has given so far, in rows and in bytes as pickled."""

    def __init__(self, stage: str, most_bytes: int, row_name: Callable[[], str], clock: Clock) -> None:
        self.rows = 0
        self._now_s = clock.now_s
        self.bytes = 0.0
        self._stage = stage
        self._most_bytes = most_bytes
        self._row_name = row_name
        self._since = self._now_s()
        self._tell_after_s = TELL_S
        self._chunk_rows = SAMPLE_ROWS

    def chunks(self, rest: Iterator[Any]) -> Iterator[list[Any]]:
        """More of them, a few at a time: sizes and pace may change on the way. Raises `ExpansionTooLarge`."""
        began = self._now_s()
        while chunk := list(islice(rest, self._chunk_rows)):
            self.sampled(chunk)
            now = self._now_s()
            if now - began > _CHUNK_S:
                self._chunk_rows = max(int(len(chunk) * _CHUNK_S / (now - began)), 1)
            yield chunk
            began = self._now_s()

    def sampled(self, chunk: list[Any]) -> None:
        """This many more rows; their size is looked at in some of them."""
        row_bytes = row_bytes_of(chunk)
        self._chunk_rows = max(min(2 * len(chunk), _CHUNK_ROWS, int(_CHUNK_BYTES / row_bytes)), 1)
        self.grew(len(chunk), row_bytes * len(chunk))

    def grew(self, rows: int, size: float) -> None:
        """The same, where the size is known."""
        self.rows += rows
        self.bytes += size
        if self.bytes > self._most_bytes:
            raise ExpansionTooLarge(
                f"{self.told} without an end: `row_output_max` allows {size_text(self._most_bytes)}; end the "
                f"function's rows sooner, or raise it (row_output_max={size_text(2 * self._most_bytes)!r} at stage "
                f"{self._stage!r}, or `--set {self._stage}.row_output_max=...`)"
            )
        took_s = self._now_s() - self._since
        if took_s >= self._tell_after_s:
            self._tell_after_s = 2 * took_s
            log.warning(
                "stage %s: %s in %.0f s and continues (row %s); it is set aside at %s (`row_output_max`)",
                self._stage, self.told, took_s, self._row_name(), size_text(self._most_bytes),
            )

    @property
    def told(self) -> str:
        """How much it is, in words."""
        return f"one row has given {self.rows:,} rows ({size_text(self.bytes)})"


def size_text(size: float) -> str:
    """As options are written: `"300 MiB"`."""
    for intake, bytes_of_unit in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= bytes_of_unit:
            return f"{size / bytes_of_unit:.4g} {intake}"
    return f"{size:.0f} B"


def row_bytes_of(chunk: list[Any]) -> float:
    """Bytes of a row, by some of them; each for itself, because what they share is sent with each."""
    rows = chunk[:: max(len(chunk) // _SAMPLED_OF_CHUNK, 1)]
    try:
        return max(sum(len(pickle.dumps(row, 5)) for row in rows) / len(rows), 1.0)
    except BaseException as exc:  # pickling runs the user's code; rows that cannot travel are reported when sent
        if is_ctrl_c(exc):
            raise
        return _USUAL_ROW_BYTES
