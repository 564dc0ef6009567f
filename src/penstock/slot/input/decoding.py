"""Decoding of a frame's rows in a worker, marked as calls of user code are: unpickling runs code of their classes.

`queue_inputs` asks it for each frame. A row that raises is an error of that row; one that killed or hung an earlier
life is left as the bytes that it was.
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.channel.codec import Codec, Decoded, RowCodec
from penstock.channel.frame import Header
from penstock.channel.pickled_rows import RowWatch
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.records.work_page import Doing, Mark, WorkPage

_RUN_USER_CODE = frozenset({int(Codec.PICKLE), int(Codec.JOINED)})


class Decoding:
    """Decodes for one stage of a slot."""

    def __init__(
        self, stage: int, work: WorkPage, suspicion: Suspicion, *, flush: Callable[[], None],
        pause: Callable[[float], None],
    ) -> None:
        """`flush`: commit what is pending; `pause`: do nothing for this many seconds."""
        self._stage = stage
        self._work = work
        self._suspicion = suspicion
        self._flush = flush
        self._pause = pause

    def commit_before(self, header: Header, queue: int) -> None:
        """Commit what is pending where rows of this frame will be marked one by one: what is marked is not committed.

        Before `decode`. What it raises has nothing to do with the frame.
        """
        if header.codec in _RUN_USER_CODE and self._suspicion.concerns((self._stage, queue, header.sequence)):
            self._flush()

    def decode(self, codec: RowCodec, header: Header, payload: bytes, queue: int, rows_done: int) -> Decoded:
        """The rows of a frame; those before `rows_done` need not be there. Raises what only damage can raise."""
        if header.codec not in _RUN_USER_CODE:
            return codec.decode(header.codec, payload, header.rows)
        mark = Mark(self._stage, queue, header.sequence, rows_done, max(header.rows - rows_done, 1))
        watch = _Watch(mark, self._work, self._suspicion, self._pause)
        if self._suspicion.concerns(mark.frame):
            watch.one_by_one = True
        else:
            self._work.enter(mark, Doing.DECODING)
        decoded = codec.decode(header.codec, payload, header.rows, watch)
        self._work.leave()
        return decoded

    def decode_again(self, codec: RowCodec, header: Header, payload: bytes, queue: int) -> Decoded:
        """As `decode`, for a frame that was decoded in this life; whoever asks has said whose rows are in progress."""
        mark = Mark(self._stage, queue, header.sequence, 0, header.rows)
        if header.codec not in _RUN_USER_CODE or not self._suspicion.concerns(mark.frame):
            return codec.decode(header.codec, payload, header.rows)
        watch = _Untouched(mark, self._suspicion)
        watch.one_by_one = True  # a row that must not be decoded is left out among the others
        return codec.decode(header.codec, payload, header.rows, watch)


class _Untouched(RowWatch):
    """Leaves out the rows that must not be decoded."""

    def __init__(self, mark: Mark, suspicion: Suspicion) -> None:
        self._mark = mark
        self._suspicion = suspicion

    def _of(self, row: int) -> Mark:
        return Mark(self._mark.stage, self._mark.input, self._mark.sequence, row, 1)

    def forbids(self, row: int) -> str:
        if row < self._mark.row:
            return "it is through"
        blamed = self._suspicion.blamed(self._of(row))
        return blamed.reason if blamed is not None and blamed.untouchable else ""


class _Watch(_Untouched):
    def __init__(self, mark: Mark, work: WorkPage, suspicion: Suspicion, pause: Callable[[float], None]) -> None:
        super().__init__(mark, suspicion)
        self._work = work
        self._pause = pause

    def begins(self, row: int) -> None:
        mark = self._of(row)
        if self._suspicion.pause_s(mark):
            self._work.leave()
            self._pause(self._suspicion.pause_s(mark))
        self._work.enter(mark, Doing.DECODING)

    def ends(self) -> None:
        self._work.leave()
