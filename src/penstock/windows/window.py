"""Which windows there are: what `KeyedStream.window` is given. `slices` and `sessions` say which one a row is in.

A window holds the rows with start <= time < end.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

import msgspec

from penstock.options import Duration, parse_duration

MICROSECONDS = 1_000_000


def microseconds(value: Duration) -> int:
    """A duration as whole microseconds. Raises `ValueError` that says what to write."""
    return round(parse_duration(value) * MICROSECONDS)


class Window(msgspec.Struct, frozen=True):
    """Base of the kinds of windows."""

    @property
    def name(self) -> str:
        """`tumbling(10s)`, as messages and plans show it."""
        raise NotImplementedError

    @property
    def needs_time(self) -> bool:
        """False: rows are counted, and their times mean nothing."""
        return True

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong with its numbers, and what to write instead."""
        return iter(())


class SlicedWindow(Window, frozen=True):
    """Windows that lie at the same places for all keys. Time is cut into slices, each of which several may share."""

    size: Duration
    every: Duration
    """From one window's start to the next one's."""
    offset: Duration = 0

    @property
    def name(self) -> str:
        if self.every == self.size:
            return f"tumbling({_shown(self.size)})"
        return f"sliding({_shown(self.size)}, every={_shown(self.every)})"

    @property
    def size_us(self) -> int:
        return microseconds(self.size)

    @property
    def every_us(self) -> int:
        return microseconds(self.every)

    @property
    def slice_us(self) -> int:
        """The length of a slice: no window begins or ends inside one."""
        return gcd(self.size_us, self.every_us)

    @property
    def offset_us(self) -> int:
        return microseconds(self.offset) % self.every_us

    def mistakes(self) -> Iterator[tuple[str, str]]:
        named = {"size": self.size, "offset": self.offset}
        if self.every != self.size:  # of tumbling ones nobody has written it
            named["every"] = self.every
        wrong = [(name, found) for name, value in named.items() if (found := _wrong(value, zero=name == "offset"))]
        for name, (what, remedy) in wrong:
            yield f"{name}: {what}", remedy
        if not wrong and self.every_us > self.size_us:
            what = f"windows of {_shown(self.size)} every {_shown(self.every)} leave out the rows between them"
            yield what, f"use a size of at least {_shown(self.every)}, or filter first"


class SessionWindow(Window, frozen=True):
    """Windows of one key that end where no row comes for `gap`: [first row, last row + gap)."""

    gap: Duration

    @property
    def name(self) -> str:
        return f"session({_shown(self.gap)})"

    @property
    def gap_us(self) -> int:
        return microseconds(self.gap)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        if (found := _wrong(self.gap, zero=False)) is not None:
            yield f"gap: {found[0]}", found[1]


class CountWindow(Window, frozen=True):
    """Windows of `rows` rows of one key, in the order of their arrival. `start` and `end` number the key's rows."""

    rows: int

    @property
    def name(self) -> str:
        return f"count_window({self.rows})"

    @property
    def needs_time(self) -> bool:
        return False

    def mistakes(self) -> Iterator[tuple[str, str]]:
        if not isinstance(self.rows, int) or isinstance(self.rows, bool) or self.rows < 1:
            yield f"rows={self.rows!r} is not a number of at least 1", "write one like 100"


def tumbling(size: Duration, *, offset: Duration = 0) -> SlicedWindow:
    """Windows of one size, side by side: each row is in one. They start at multiples of `size` since 1970, UTC.

    `offset` moves them: `tumbling("1d", offset="22h")` gives days that begin at 22:00 UTC.
    """
    return SlicedWindow(size, size, offset)


def sliding(size: Duration, *, every: Duration, offset: Duration = 0) -> SlicedWindow:
    """Windows of one size that overlap: one begins `every` so often. Each row is in several."""
    return SlicedWindow(size, every, offset)


def session(gap: Duration) -> SessionWindow:
    """Windows of activity: rows of a key that are less than `gap` apart share one."""
    return SessionWindow(gap)


def count_window(rows: int) -> CountWindow:
    """Windows of as many rows of a key. At the end of the input, the last one of a key may have fewer."""
    return CountWindow(rows)


def _wrong(value: Duration, *, zero: bool) -> tuple[str, str] | None:
    try:
        found = microseconds(value)
    except ValueError as error:
        what, _, remedy = str(error).partition("; ")
        return what, remedy
    if found == 0 and not zero:
        return f"{value!r} is no time at all", 'write a duration like "10s"'
    return None


def _shown(value: Duration) -> str:
    return value if isinstance(value, str) else f"{value}s" if isinstance(value, int | float) else str(value)


class ProcessingTime(msgspec.Struct, frozen=True):
    """The clock on the wall, in the worker that counts the row."""


def processing_time() -> ProcessingTime:
    """Windows by the clock: `window(ps.tumbling("10s"), time=ps.processing_time())`. No row is late.

    Results depend on when rows came: a row that is counted again after a kill is counted by the time then. Windows are
    given once they are over, also while no row comes; what is open when the input ends is given then.
    """
    return ProcessingTime()
