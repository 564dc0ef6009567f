"""Where a stage's rows go: routed, encoded, appended past the published tails, published after the commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from penstock.batch import Batch, WrittenLines
from penstock.channel.codec import RowCodec
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.frame import space
from penstock.channel.queue import Payload, QueueWriter
from penstock.channel.router import KeyFailure, Router
from penstock.event_time import NO_WATERMARK
from penstock.plan.plan import EdgePlan, Route
from penstock.sink import WrittenText
from penstock.slot.input.batches import Out, as_given, batch_cut, batch_length, require_rows, row_at
from penstock.slot.output.shares import Shares
from penstock.slot.output.watched_key import WatchedKey
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.records.record import OutputRecord
from penstock.slot.time_and_chance import MACHINE, Clock

FRAME_BYTES: Final = 256 * 1024
"""A frame has about this many bytes of rows: what is done once for each costs little, and caches hold most of it."""
COLUMNS_BYTES: Final = 1024 * 1024
"""As `FRAME_BYTES`, for columns: there a call costs much, and bytes little."""


class Unsendable(msgspec.Struct, frozen=True):
    """A row that the sink behind the edge has no text for."""

    row: Any
    reason: str


class QueueOutput:
    """One output queue."""

    def __init__(
        self, queue: QueueWriter, codec: RowCodec, text: Callable[[Batch[Any]], WrittenText] | None = None
    ) -> None:
        """`text`: how rows become the lines that the sink behind this queue writes, where it leaves that to us."""
        self.queue = queue
        self.name = queue.path.name
        self._text = text
        self.unsendable: list[Unsendable] = []
        self.codec = codec
        self.prepared: list[Payload] = []
        self.prepared_bytes = 0
        """Bytes of the queue that what is prepared will take."""
        self.capacity = queue.capacity
        self._frame_bytes = min(FRAME_BYTES, queue.capacity // 4)
        self._columns_bytes = min(COLUMNS_BYTES, queue.capacity // 4)
        self._row_bytes = 0.0
        """Bytes of a row, as last encoded."""
        self._told: int = NO_WATERMARK
        """What the receiver was told of event time."""
        self._told_idle = False

    def restore(self, record: OutputRecord) -> None:
        self.queue.restore(record.tail, record.sequence, record.rows)
        self._told, self._told_idle = record.watermark, record.idle

    def record(self) -> OutputRecord:
        return OutputRecord(*self.queue.position(), self._told, self._told_idle)

    def lags(self, watermark: int, idle: bool) -> bool:
        """True: the receiver has not been told this of event time."""
        return watermark > self._told or idle is not self._told_idle

    def prepare(self, batch: Any, batch_rows: int) -> None:
        """Encode a batch into payloads of at most `batch_rows` rows and about `FRAME_BYTES`."""
        length = batch_length(batch)
        if not length:
            return
        most, frame_bytes = batch_rows, self._bytes_of_a_frame(batch)
        if self._row_bytes * length > 2 * frame_bytes:
            most = min(batch_rows, max(int(frame_bytes / self._row_bytes), 1))
        if length <= most:
            self._encode(batch, length)
            return
        for part in batch_cut(batch, -(-length // -(-length // most))):  # in parts of one size, none left over
            self._encode(part, batch_length(part))

    def _bytes_of_a_frame(self, batch: Any) -> int:
        return self._columns_bytes if isinstance(batch, ColumnBatch) else self._frame_bytes

    def _as_text(self, batch: Any) -> WrittenLines:
        """What the sink will write; rows that have no text are kept in `unsendable`."""
        assert self._text is not None
        written = self._text(as_given(batch))
        if written.rejected:
            require_rows(written.rejected, batch_length(batch), "WrittenText")
            self.unsendable += [Unsendable(row_at(batch, index), reason) for index, reason in written.rejected.items()]
        return WrittenLines(written.data, 0, batch_length(batch) - len(written.rejected))

    def _encode(self, batch: Any, rows: int) -> None:
        frame_bytes = self._bytes_of_a_frame(batch)
        if self._text is not None and not isinstance(batch, WrittenLines):
            batch = self._as_text(batch)
            rows = batch.count
            if not rows:
                return
        codec, data = self.codec.encode(batch)
        self._row_bytes = len(data) / rows
        if len(data) > 2 * frame_bytes and rows > 1:
            # Several cuts at once: encoding again costs as much as the first time.
            parts = batch_cut(batch, max(int(frame_bytes / self._row_bytes), 1))
            if len(parts) > 1:
                for part in parts:
                    self._encode(part, batch_length(part))
                return
        self.prepared.append(Payload(codec, data, rows))
        self.prepared_bytes += space(len(data))

    def forget(self) -> None:
        """Drop what is prepared."""
        self.prepared, self.prepared_bytes, self.unsendable = [], 0, []

    def forget_behind(self, payloads: int, prepared_bytes: int) -> None:
        """Drop what was prepared after there were this many payloads, of so many bytes."""
        del self.prepared[payloads:]
        self.prepared_bytes, self.unsendable = prepared_bytes, []

    def has_room(self) -> bool:
        """True when what is prepared, and the end of its turn, can be appended now."""
        return self.queue.has_room(self.prepared_bytes)

    @property
    def reader_waits(self) -> bool:
        """True when the receiver sleeps until something comes, and has nothing to do."""
        return self.queue.reader_waits

    def has_some_room(self) -> bool:
        """True when another frame would fit behind what is prepared."""
        return self.queue.fits(self.prepared_bytes + self._frame_bytes)

    def append(
        self, *, ingest_ns: int, turn: int, end_turn: bool, watermark: int = NO_WATERMARK, idle: bool = False,
        tells: bool = False,
    ) -> int:
        """Append what is prepared; gives the bytes.

        `watermark`, `idle`: how far event time has come. `tells`: say so even if there is nothing else to send.
        """
        payloads = self.prepared
        # Who has no room for a frame has much to read: it is told later, and nobody waits for it.
        if tells and not payloads and self.lags(watermark, idle) and self.queue.has_room(0):
            payloads = [Payload(*self.codec.encode([]), rows=0)]
        # A turn that was filtered away whole ends all the same: the merge by turns behind it waits for it (trap 19).
        if end_turn and not payloads:
            payloads = [Payload(*self.codec.encode([]), rows=0)]
        if not payloads:
            return 0
        sent = self.queue.append(
            payloads, self.prepared_bytes, ingest_ns=ingest_ns, turn=turn, end_turn=end_turn,
            watermark=watermark, idle=idle,
        )
        self._told, self._told_idle = max(self._told, watermark), idle
        self.forget()
        return sent


class EdgeOutput:
    """All output queues of one edge in one slot."""

    def __init__(
        self, edge: EdgePlan, route: Route, queues: Sequence[QueueOutput], *, turns: bool,
        key_table: Sequence[int] = (), timer: RowTimer | None = None, clock: Clock = MACHINE, in_turn: bool = False,
    ) -> None:
        """`turns`: the receivers count turns, so every turn must be given out with its number and its end.

        `key_table`: the queue of each key group, where rows go by their key. `timer`: of the function that gives
        keys, where its stage has a time-out. `in_turn`: where any receiver will do, they get a turn each, and whole.
        """
        self.edge = edge
        self._now_s = clock.now_s
        self.queues = tuple(queues)
        self.turns = turns
        self._watched = WatchedKey(edge.key, timer) if timer is not None and callable(edge.key) else None
        self.limit_ns = int((edge.timeout_s or 0.0) * 1e9) if self._watched is not None else 0
        """How long a key may take; 0: no key is computed here, or no time is set."""
        self._router = Router(route, len(queues), self._watched or edge.key, key_table)
        balances = route is Route.BALANCE and len(queues) > 1
        self.balances = balances
        """Rows go to whoever has room."""
        self._only = self.queues[0] if len(queues) == 1 and route is not Route.HASH else None
        self._shares = Shares(len(queues), edge.batch_rows) if balances and not in_turn else None
        self._next = 0 if in_turn else -1
        """Who gets the next turn; -1: who has most room."""

    def prepare(self, out: Out, turn: int) -> list[KeyFailure | Unsendable]:
        """Route and encode what a leaf gave; gives the rows without a key and those that the sink has no text for.

        Raises what a codec raises for a row that it cannot carry.
        """
        if self._watched is None:
            return self._prepare(out, turn)
        with self._watched.watching():
            return self._prepare(out, turn)

    def _prepare(self, out: Out, turn: int) -> list[KeyFailure | Unsendable]:
        failures: list[KeyFailure | Unsendable] = []
        for batch in out.batches():
            if self._only is not None:
                self._only.prepare(batch, self.edge.batch_rows)
                continue
            for share in self._shares_of(batch):
                parts, failed = self._router.split(share, self._rooms, turn)
                failures.extend(failed)
                for index, part in parts:
                    self.queues[index].prepare(part, self.edge.batch_rows)
        for queue in self.queues:
            if queue.unsendable:
                failures += queue.unsendable
                queue.unsendable = []
        return failures

    def _shares_of(self, batch: Any) -> list[Any]:
        """A batch in parts that may go to different receivers, where any of them will do."""
        if self._shares is None or isinstance(batch, ColumnBatch):
            return [batch]
        length = batch_length(batch)
        taken = sum(out.queue.rows_taken for out in self.queues)
        waiting = sum(out.queue.rows for out in self.queues) - taken
        rows = self._shares.rows(length, taken=taken, waiting=waiting, now=self._now_s())
        return [batch] if rows >= length else batch_cut(batch, rows)

    @property
    def sent_anything(self) -> bool:
        """True when a row was ever sent, or is about to be."""
        return any(out.prepared or out.queue.rows for out in self.queues)

    def forget(self) -> None:
        """Drop what was prepared."""
        for queue in self.queues:
            queue.forget()

    def append(
        self, *, ingest_ns: int, turn: int, end_turn: bool, watermark: int = NO_WATERMARK, idle: bool = False,
        tells: bool = False,
    ) -> int:
        """Append what is prepared to all queues; gives the bytes. The rest as for `QueueOutput.append`."""
        if self._next >= 0:
            self._next = (self._next + 1) % len(self.queues)
        sent = 0
        for index, queue in enumerate(self.queues):
            ends_here = end_turn and self.turns and self._sees_turn(index, turn)
            sent += queue.append(
                ingest_ns=ingest_ns, turn=turn, end_turn=ends_here, watermark=watermark, idle=idle, tells=tells
            )
        return sent

    # Room, as the edge has it: today all of its queues wait for their readers.

    def gives_out(self, end_turn: bool) -> bool:
        """True when `append` would append something."""
        return (end_turn and self.turns) or any(out.prepared for out in self.queues)

    def has_room(self, end_turn: bool) -> bool:
        """True when `append` finds room in every queue concerned."""
        tells_all = end_turn and self.turns
        return all(out.has_room() for out in self.queues if tells_all or out.prepared)

    def has_some_room(self) -> bool:
        """True when another frame would fit somewhere, behind what is prepared."""
        return any(out.has_some_room() for out in self.queues)

    def has_room_for_end(self) -> bool:
        return all(out.queue.has_room_for_end() for out in self.queues)

    def append_end(self, watermark: int) -> None:
        """Append the last frame of every queue."""
        for out in self.queues:
            out.queue.append_end(watermark)

    def _sees_turn(self, index: int, turn: int) -> bool:
        return self._router.route is not Route.DEAL or turn % len(self.queues) == index

    def _rooms(self) -> list[int]:
        if self._next >= 0:
            return [int(index == self._next) for index in range(len(self.queues))]
        return [out.queue.room() - out.prepared_bytes for out in self.queues]
