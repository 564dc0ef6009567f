"""The input queues of a stage in one slot: one frame is in work at a time."""

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
                return frame, decoding.decode(self.codec, frame.header, payload, index, self.rows_done)
            return frame, self.codec.decode(frame.header.codec, payload, frame.header.rows)
        except (MemoryError, Stopped):
            raise
        except Exception as exc:  # what rows raise is theirs: the bytes are not what a codec wrote
            raise QueueDamaged(
                self.ring.path, f"frame {frame.header.sequence} cannot be decoded ({type(exc).__name__}: {exc})"
            ) from exc

    def frame_done(self, frame_end: int, rows: int) -> None:
        """A frame is through: the commit may give its room back."""
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
            self._side_done = not self._sides.delete_below(self.sequence)


class QueueInputs:
    """All input queues of a stage in one slot."""

    def __init__(self, queues: list[QueueInput], gate: Gate, run_id: str) -> None:
        self.queues = queues
        self._gate = gate
        self._run_id = run_id
        self._in_work: Frame | None = None
        self._index = -1
        self.decoding: Decoding | None = None
        """How workers decode; None: as the calling process does, where nobody watches."""

    def restore(self, record: PartRecord) -> None:
        for queue, saved in zip(self.queues, record.inputs, strict=True):
            queue.restore(saved)
        for edge, turn in zip(self._gate.edges, record.turns_in, strict=True):
            edge.turn = turn

    def save(self, record: PartRecord) -> None:
        record.inputs = [queue.record() for queue in self.queues]
        record.turns_in = [edge.turn for edge in self._gate.edges]

    @property
    def ended(self) -> bool:
        return all(queue.ended for queue in self.queues)

    def ready(self) -> bool:
        """True when `take` would find something."""
        return self._choose() is not None

    def _choose(self) -> int | None:
        if self._gate.simple:
            only = self.queues[0]
            return 0 if only.ring.waiting and not only.ended else None
        return self._gate.choose([q.ring.waiting for q in self.queues], [q.ended for q in self.queues])

    def take(self) -> Unit | None:
        """The next batch; ends are taken on the way."""
        while (index := self._choose()) is not None:
            queue = self.queues[index]
            taken = queue.take(self.decoding, index)
            if taken is None:
                return None
            frame, decoded = taken
            if decoded is None:
                queue.frame_done(frame.end, 0)
                queue.ended = True
                continue
            self._in_work, self._index = frame, index
            header = frame.header
            return Unit(
                decoded.batch, header.rows, queue.rows_done, header.ingest_ns, time.monotonic_ns(), index,
                header.sequence, 0, f"{self._run_id}/{queue.name}/{header.sequence}", decoded.failures, header.turn,
                bool(header.flags & Flag.TURN_END),
            )
        return None

    def progress(self, unit: Unit) -> None:
        """Rows of the unit are through up to `unit.done`."""
        queue, frame = self.queues[self._index], self._in_work
        assert frame is not None
        queue.rows_done = unit.done
        if unit.done >= unit.length:
            queue.frame_done(frame.end, unit.length)
            edge = self._gate.edge_of(self._index)
            if edge.merge and unit.turn_end:
                edge.turn_taken()

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
