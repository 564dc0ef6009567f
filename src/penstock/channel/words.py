"""Words shared between processes: how they are stored, how torn ones are told, and what the CPU must not reorder.

Everything that depends on the CPU's memory order is here. On x86-64 stores become visible in their order, so
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
    # The order is for a writer that is killed in between, and for readers that look in between. After the first store
    # the cursor is still the old one and agrees with its copy; after the second it is the new one and agrees with its
    # complement. Stores to a memoryview of words are single moves and are never seen half done (trap 7).
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
    # The usual case takes two loads: no writer is between its first store and its second one.
    value, complement = words[index], words[index + _COMPLEMENT]
    if value == ~complement & MASK:
        return int(value)
    seen = (value, complement, words[index + _COPY])
    while seen[0] not in (~seen[1] & MASK, seen[2]):
        again = words[index], words[index + _COMPLEMENT], words[index + _COPY]
        # Whatever a writer has stored so far, the words agree. Twice the same and they do not: this is damage.
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
