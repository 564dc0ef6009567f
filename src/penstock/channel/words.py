"""Words shared between processes: how they are stored, how torn ones are told, and what the CPU must not reorder.

Everything that depends on the CPU's memory order stands here. On x86-64 stores become visible in their order, so
"payload first, cursor after" needs no fence; a store may be delayed past a later load, so "set my flag, then look
again" needs `fence`. On arm64 neither holds for plain stores: `publish` and `fence` would have to issue barriers,
and until they do `import penstock` refuses to run there (`linux.py`).
"""

from __future__ import annotations

import os
import threading
from typing import Final

from penstock.shared_file import Words

MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_COMPLEMENT: Final = 1
_COPY: Final = 3


def store_cursor(words: Words, index: int, value: int) -> None:
    """Publish a cursor, its complement before it and its copy behind it.

    Readers that see the cursor see what was written before. The copy keeps one word off: the cursor's row count
    stands between.
    """
    words[index + _COMPLEMENT] = ~value & MASK
    words[index] = value
    words[index + _COPY] = value


class TornWord(Exception):
    """A cursor agrees with neither its complement nor its copy: no writer leaves that behind."""


def load_cursor(words: Words, index: int) -> int:
    """A cursor as published. Raises `TornWord`.

    A writer that is at it, or died there, leaves a cursor that agrees with its complement (the new value) or with its
    copy (the old one).
    """
    value, complement = words[index], words[index + _COMPLEMENT]
    if value == ~complement & MASK:
        return int(value)
    seen = (value, complement, words[index + _COPY])
    while seen[0] not in (~seen[1] & MASK, seen[2]):
        again = words[index], words[index + _COMPLEMENT], words[index + _COPY]
        if again == seen:
            raise TornWord(f"cursor {seen[0]} with complement {seen[1]} and copy {seen[2]}")
        seen = again  # they were read apart while the writer moved on
    return int(seen[0])


_fence_lock = threading.Lock()


def fence() -> None:
    """Make earlier stores visible before later loads.

    Taking a lock is a locked instruction, which drains the store buffer; nobody else ever takes this one. Ten times
    cheaper than a system call.
    """
    if _fence_lock.acquire(blocking=False):
        _fence_lock.release()


def drain(bell_fd: int) -> None:
    """A `fence` that swallows what is in one's own bell: the kernel locks the pipe.

    Callers look at everything that a bell could have told them right after.
    """
    try:
        os.read(bell_fd, 65536)
    except BlockingIOError:
        return
