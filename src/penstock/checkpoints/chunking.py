"""Which chunks of a log a checkpoint shares with the one before, and from where on it rewrites the log. Pure.

A log only grows, and each checkpoint would add one more chunk to it. So chunks are merged like the digits of a binary
counter: those at the end that are no longer than what is rewritten are rewritten with it. A log of n bytes has
few chunks (about the logarithm of n), and a byte is written about as often.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.checkpoints.manifest import Chunk, Chunks

LARGE_BYTES: Final = 8 * 1024 * 1024
"""The longest chunk that a checkpoint writes. Chunks of this length are never written again."""


def shared_chunks(earlier: Sequence[Chunk], length: int) -> tuple[Chunks, int]:
    """(the chunks that stay, the offset in the log from which on it is rewritten), for a log of this length.

    `earlier`: the log's chunks in an earlier checkpoint. Pass none where a new log was begun since.
    """
    kept: list[Chunk] = []
    end = 0
    for chunk in earlier:
        if end + chunk.length > length:
            break  # a log that was cut back: what was written behind is something else
        kept.append(chunk)
        end += chunk.length
    while end < length and kept and kept[-1].length <= min(length - end, LARGE_BYTES - 1):
        end -= kept.pop().length
    return tuple(kept), end
