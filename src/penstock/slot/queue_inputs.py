"""The input queues of a stage in one slot.

Frames may be taken ahead of the one in work; they are done with in the order in which they were taken, and what is
saved and published is what is done.
"""

from __future__ import annotations

import time

from penstock.channel.bell import Bell
from penstock.channel.codec import Decoded, RowCodec
from penstock.channel.frame import Flag, Frame, Kind
from penstock.channel.gate import Gate
from penstock.channel.ring import RingReader
from penstock.channel.side_file import SideFiles
from penstock.errors import QueueDamaged
from penstock.slot.decoding import Decoding
from penstock.slot.record import InputRecord, PartRecord
from penstock.slot.stops import Stopped
from penstock.slot.unit import Unit


class QueueInput:
    """One input queue."""

    def __init__(self, ring: RingReader, codec: RowCodec, sides: SideFiles, sender_bell: Bell, name: str) -> None:
        self.ring = ring
        self.codec = codec
        self._sides = sides
        self.sender_bell = sender_bell
        self.name = name
        self.ended = False
        self.head = 0
        """The head to commit: behind the last frame that is wholly done."""
        self.sequence = 0
        self.rows_done = 0
        self._in_work = 0
        """Frames that were taken and are not done."""
        self._held_end: int | None = None
        """The position behind the END frame, where it was read before the frames in front of it were done."""
        self._side_done = False

    def restore(self, record: InputRecord) -> None:
        self.ring.restore(record.head, record.sequence, record.rows)
        self.head, self.sequence, self.rows_done = record.head, record.sequence, record.rows_done
        self.ended = record.ended
        self._sides.delete_below(record.sequence)

    def record(self) -> InputRecord:
        return InputRecord(self.head, self.sequence, self.ring.rows, self.rows_done, self.ended)

    def take(self, decoding: Decoding | None, index: int) -> tuple[Frame, Decoded | None] | None:
        """The next frame and its decoded batch (None for an end). `index`: of this queue among the stage's."""
        frame = self.ring.read_nowait()
        if frame is None:
            return None
        payload = frame.payload
        if frame.header.flags & Flag.SIDE_FILE:
            payload = self._sides.read(frame.header.sequence, payload)
            self._side_done = True
        if frame.header.kind != Kind.BATCH:
            return frame, None
        try:
            if decoding is not None:
                return frame, decoding.decode(self.codec, frame.header, payload, index, self._rows_done_ahead())
            return frame, self.codec.decode(frame.header.codec, payload, frame.header.rows)
        except (MemoryError, Stopped):
            raise
        except Exception as exc:  # what rows raise is theirs: the bytes are not what a codec wrote
            raise QueueDamaged(
                self.ring.path, f"frame {frame.header.sequence} cannot be decoded ({type(exc).__name__}: {exc})"
            ) from exc

    @property
    def exhausted(self) -> bool:
        """True when its END was read."""
        return self.ended or self._held_end is not None

    def _rows_done_ahead(self) -> int:
        """How many rows of the next frame were done in an earlier life."""
        return self.rows_done if self._in_work == 0 else 0

    def frame_taken(self) -> int:
        """A frame is in work; gives how many of its rows were done in an earlier life."""
        done = self._rows_done_ahead()
        self._in_work += 1
        return done

    def frame_done(self, frame_end: int, rows: int) -> None:
        """The oldest frame in work is through: the commit may give its room back."""
        self._in_work -= 1
        self._behind(frame_end, rows)
        if self._in_work == 0 and self._held_end is not None:
            self._end(self._held_end)

    def end_taken(self, frame_end: int) -> None:
        """The END frame: the queue has ended once all in front of it is done."""
        if self._in_work:
            self._held_end = frame_end
        else:
            self._end(frame_end)

    def _end(self, frame_end: int) -> None:
        self._behind(frame_end, 0)
        self.ended, self._held_end = True, None

    def _behind(self, frame_end: int, rows: int) -> None:
        self.head, self.rows_done = frame_end, 0
        self.sequence += 1
        self.ring.rows += rows

    def publish(self) -> None:
        """After the commit."""
        # The published head is that of the last whole frame; the private one may be further.
        private, self.ring.head = self.ring.head, self.head
        self.ring.publish()
        self.ring.head = private
        if self._side_done:
            self._side_done = not self._sides.delete_below(self.sequence) or self._in_work > 0


class QueueInputs:
    """All input queues of a stage in one slot."""

    def __init__(self, queues: list[QueueInput], gate: Gate, run_id: str) -> None:
        self.queues = queues
        self._gate = gate
        self._run_id = run_id
        self._turns_done = [edge.turn for edge in gate.edges]
        """Of each edge: the turn to go on with, as far as frames are done; the gate may be further."""
        self.decoding: Decoding | None = None
        """How workers decode; None: as the calling process does, where nobody watches."""

    def restore(self, record: PartRecord) -> None:
        for queue, saved in zip(self.queues, record.inputs, strict=True):
            queue.restore(saved)
        for edge, turn in zip(self._gate.edges, record.turns_in, strict=True):
            edge.turn = turn
        self._turns_done = list(record.turns_in)

    def save(self, record: PartRecord) -> None:
        record.inputs = [queue.record() for queue in self.queues]
        record.turns_in = list(self._turns_done)

    @property
    def ended(self) -> bool:
        return all(queue.ended for queue in self.queues)

    @property
    def exhausted(self) -> bool:
        """True when nothing comes any more, though some may still be in work."""
        return all(queue.exhausted for queue in self.queues)

    def ready(self) -> bool:
        """True when `take` would find something."""
        return self._choose() is not None

    def _choose(self) -> int | None:
        if self._gate.simple:
            only = self.queues[0]
            return 0 if only.ring.waiting and not only.ended else None
        return self._gate.choose([q.ring.waiting for q in self.queues], [q.ended for q in self.queues])

    def take(self) -> Unit | None:
        """The next batch, though others may still be in work; ends are taken on the way."""
        while (index := self._choose()) is not None:
            queue = self.queues[index]
            taken = queue.take(self.decoding, index)
            if taken is None:
                return None
            frame, decoded = taken
            if decoded is None:
                queue.end_taken(frame.end)
                continue
            header = frame.header
            turn_end = bool(header.flags & Flag.TURN_END)
            if turn_end and not self._gate.simple:
                edge = self._gate.edge_of(index)
                if edge.merge:
                    edge.turn_taken()
            return Unit(
                decoded.batch, header.rows, queue.frame_taken(), header.ingest_ns, time.monotonic_ns(), index,
                header.sequence, 0, f"{self._run_id}/{queue.name}/{header.sequence}", decoded.failures, header.turn,
                turn_end, frame.end,
            )
        return None

    def progress(self, unit: Unit) -> None:
        """Rows of the oldest unit in work are through up to `unit.done`."""
        queue = self.queues[unit.input]
        queue.rows_done = unit.done
        if unit.done < unit.length:
            return
        queue.frame_done(unit.end, unit.length)
        if unit.turn_end and not self._gate.simple:
            number = self._gate.number_of(unit.input)
            edge = self._gate.edges[number]
            if edge.merge:
                self._turns_done[number] += edge.stride

    def publish(self) -> None:
        for queue in self.queues:
            queue.publish()

    def wake_after(self) -> float | None:
        """Nothing but the bell tells of input."""
        return None

    def descriptors(self) -> set[int]:
        return set()

    def woken(self) -> None:
        """Queues have no descriptors."""

    def neighbours(self) -> list[Bell]:
        """Whom to ring when room was made."""
        return [queue.sender_bell for queue in self.queues]

    def stop(self) -> None:
        """Queues are drained, not stopped."""

    def close(self) -> None:
        for queue in self.queues:
            queue.ring.close()
            queue.sender_bell.close()
