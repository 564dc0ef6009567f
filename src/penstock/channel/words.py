"""Words shared between processes: how they are stored, how torn ones are told, and what the CPU must not reorder.

Everything that depends on the CPU's memory order stands here. On x86-64 stores become visible in their order, so
"payload first, cursor after" needs no fence; a store may be delayed past a later load, so "set my flag, then look
again" needs `fence`. On arm64 neither holds for plain stores: `publish` and `fence` would have to issue barriers,
and until they do penstock is tested on x86-64 only.
"""

from __future__ import annotations

import os

MASK = 0xFFFF_FFFF_FFFF_FFFF


def store_cursor(words: memoryview, index: int, value: int) -> None:
    """Publish a cursor and, before it, its complement; readers that see the cursor see what was written before."""
    words[index + 1] = ~value & MASK
    words[index] = value


class TornWord(Exception):
    """A cursor and its complement contradict each other in a way that no writer leaves behind."""


def load_cursor(words: memoryview, index: int, most: int) -> int:
    """A cursor as published. `most`: how far one publication can move it. Raises `TornWord`.

    The complement is stored first, so a writer that is at it (or died there) leaves a complement that is ahead by at
    most `most`; the cursor then still holds its old value, which is valid.
    """
    value, complement = words[index], words[index + 1]
    if value == ~complement & MASK:
        return int(value)
    for _ in range(3):
        ahead = (~complement & MASK) - value
        if 0 <= ahead <= most:
            return int(value)
        # The two were read apart while the writer moved on by more than one publication: read again.
        value, complement = words[index], words[index + 1]
        if value == ~complement & MASK:
            return int(value)
    raise TornWord(f"cursor {value} with complement {complement}")


def fence(bell_fd: int) -> None:
    """Make earlier stores visible before later loads: a non-blocking read of one's own bell.

    The kernel locks the pipe, and a locked instruction drains the store buffer. What was in the bell is swallowed:
    callers look at everything that a bell could have told them right after.
    """
    try:
        os.read(bell_fd, 65536)
    except BlockingIOError:
        return
