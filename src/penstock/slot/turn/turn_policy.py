"""When a turn ends. Pure: what is known of the turn goes in, and whether it is to be committed now comes out.

A commit costs about the same for one row as for a thousand, and somebody may wait for each of them. `turn` asks after
every piece of work, and `loop` before it sleeps.
"""

from __future__ import annotations

from typing import Final

TRANSACTION_S: Final = 0.1
"""The transactional sinks of a slot, one after the other, collect rows for this long ..."""
TRANSACTION_ROWS: Final = 100_000
"""... and this many rows."""
RUSH_S: Final = 0.001
"""A receiver that waits is served at once, or after this long if more input waits and a piece takes less than this: a
commit for every frame, and a process woken for it, would cost more than the work."""
TURN_BYTES: Final = 256 * 1024
"""A turn gives out this much at most before it is committed; of a small queue, a quarter."""
COMMIT_S: Final = 0.00005
"""About what a commit takes. A source that waits longer for rows has the time to commit those it has."""


class TurnPolicy:
    """The rules for the turns of one stage. Times are in seconds; `waited_s` counts from the turn's first row."""

    def __init__(self, *, linger_s: float, sends: bool, transaction_s: float = 0.0) -> None:
        """`linger_s`: how long rows are collected while nobody waits for them; `sends`: the stage has receivers.

        `transaction_s`: how long its sink collects for a transaction; 0: it has no such sink.
        """
        self._linger_s = linger_s
        self._sends = sends
        self._transaction_s = transaction_s

    def ends(
        self, waited_s: float, rows: int, *, source_waits_s: float, piece_s: float, receiver_waits: bool,
        more_is_here: bool,
    ) -> bool:
        """After a piece of work: commit now, though there may be more to read?

        `source_waits_s`: how long the next read is expected to stand still, 0 where nothing is read next; `piece_s`:
        how long the next piece is expected to take; `more_is_here`: there is a next one without waiting for it.
        """
        if self._has_waited(waited_s, rows, source_waits_s):
            return True
        if not receiver_waits:
            return False
        return not more_is_here or piece_s >= RUSH_S or waited_s >= RUSH_S

    def _has_waited(self, waited_s: float, rows: int, source_waits_s: float) -> bool:
        """True: rows are pending for so long that they must be committed, or will be when the source gives more."""
        if self._transaction_s:
            return rows >= TRANSACTION_ROWS or waited_s + source_waits_s >= self._transaction_s
        if self._sends and source_waits_s >= COMMIT_S:
            return True
        return waited_s + source_waits_s >= self._linger_s

    def collects_for(self, waited_s: float, *, rows_in_flight: bool, receiver_waits: bool) -> float:
        """There is nothing to do now: how long the turn may stay open all the same; 0 or less: commit.

        A transaction costs the same for many rows as for few. Where rows are in flight: as long as it would while
        input is there.
        """
        if self._transaction_s:
            return self._transaction_s - waited_s
        if not rows_in_flight:
            return 0.0
        return (RUSH_S if receiver_waits else self._linger_s) - waited_s


def is_full(prepared_bytes: int, queue_bytes: int) -> bool:
    """True: what is encoded for a queue is enough for a turn."""
    return prepared_bytes >= min(TURN_BYTES, queue_bytes // 4)
