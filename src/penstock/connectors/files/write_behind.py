"""Has the operating system begin to write while rows still come, so that the last `fsync` finds little left to do.

A hint only: what is durable when, `fsync` alone decides, and its errors are told there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

STEP_BYTES = 8 * 1024 * 1024
_SYNC_FILE_RANGE_WRITE = 2  # begin to write, do not wait


class WriteBehind:
    """The hints for one file."""

    def __init__(self, length: int) -> None:
        """`length`: bytes of the file that are no concern of ours."""
        self._begun = length

    def written(self, fd: int, length: int) -> None:
        """The file has this many bytes now."""
        if length - self._begun >= STEP_BYTES:
            _begin_to_write()(fd, self._begun, length - self._begun)
            self._begun = length


@cache
def _begin_to_write() -> Callable[[int, int, int], int]:
    """(descriptor, offset, bytes) -> 0 where the system has begun."""
    import ctypes

    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is None:
        return lambda fd, offset, count: -1
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return lambda fd, offset, count: int(function(fd, offset, count, _SYNC_FILE_RANGE_WRITE))
