"""Which slice a row is in, which windows a slice belongs to, and which windows a watermark completes.

A slice is named by its end. Rows are added to one slice only; windows that share slices are put together from them
once they are complete. A window is complete when no row of it can come any more that is not late: once the watermark,
less the lateness, has reached its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from penstock.windows.window import SlicedWindow


class Slices(msgspec.Struct, frozen=True):
    """The arithmetic of one window's slices, in microseconds."""

    size: int
    every: int
    slice: int
    offset: int

    @classmethod
    def of(cls, window: SlicedWindow) -> Slices:
        return cls(window.size_us, window.every_us, window.slice_us, window.offset_us)

    def end_of(self, time: int) -> int:
        """The end of the slice that holds a time."""
        return time - (time - self.offset) % self.slice + self.slice

    def end_text(self, time: str) -> str:
        """The same as text, for generated loops; `time` is a name."""
        moved = f"({time} - {self.offset})" if self.offset else time
        return f"{time} - {moved} % {self.slice} + {self.slice}"

    @property
    def shared(self) -> bool:
        """True: a window is put together from several slices."""
        return self.slice != self.size

    def windows_of(self, slice_end: int) -> range:
        """The ends of the windows that hold a slice, the earliest first."""
        return range(self.first_window_of(slice_end), slice_end - self.slice + self.size + 1, self.every)

    def first_window_of(self, slice_end: int) -> int:
        """The end of the earliest window that holds a slice."""
        # Ends of windows are at offset + size, modulo `every`.
        return slice_end + (self.offset + self.size - slice_end) % self.every

    def last_window_of(self, slice_end: int) -> int:
        """The end of the last window that holds a slice: once that is complete, the slice is needed no more."""
        latest = slice_end - self.slice + self.size
        return latest - (latest - self.offset - self.size) % self.every

    def slices_of(self, window_end: int) -> range:
        """The slices of a window, the earliest first."""
        return range(window_end - self.size + self.slice, window_end + 1, self.slice)

    def is_late(self, slice_end: int, closed: int) -> bool:
        """True: all windows of the slice are complete. `closed`: the watermark less the lateness."""
        return self.last_window_of(slice_end) <= closed

    def completed(self, slice_ends: Iterable[int], before: int, closed: int) -> Iterator[int]:
        """The ends of the windows with rows that are complete at `closed` and were not at `before`, in their order."""
        found = {end for known in slice_ends for end in self.windows_of(known) if before < end <= closed}
        return iter(sorted(found))

    def open_windows(self, slice_ends: Iterable[int], closed: int) -> Iterator[int]:
        """The ends of the windows with rows that are not complete, in their order."""
        found = {end for known in slice_ends for end in self.windows_of(known) if end > closed}
        return iter(sorted(found))

    def needless(self, slice_ends: Iterable[int], closed: int) -> list[int]:
        """The slices that no window needs any more, in their order."""
        return sorted(end for end in slice_ends if self.last_window_of(end) <= closed)
