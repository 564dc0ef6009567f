"""The input queues of a stage in one slot.

Frames may be taken ahead of the one in progress; they are done with in the order in which they were taken, and what is
saved and published is what is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.channel.codec import Decoded, RowCodec
from penstock.channel.frame import Flag, Frame, Kind
from penstock.channel.gate import Gate
from penstock.channel.queue import QueueReader
from penstock.errors import QueueDamaged
from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.slot.input.decoding import Decoding
from penstock.slot.input.intake import Intake
from penstock.slot.process.stops import Stopped
from penstock.slot.records.record import InputRecord, StageRecord
from penstock.slot.time_and_chance import MACHINE, Clock
from penstock.slot.watermarks.origin import Origin


class QueueInput:
    """One input queue, and how what is in it becomes rows."""

    def __init__(self, queue: QueueReader, codec: RowCodec, name: str, port: int = 0) -> None:
        """`port`: which of the stage's incoming edges it belongs to."""
        self.queue = queue
        self.codec = codec
        self.name = name
        self.port = port
        self.origin = Origin()
        self._end_watermark = NO_WATERMARK

    def restore(self, record: InputRecord) -> None:
        self.queue.restore(record.head, record.sequence, record.rows, record.rows_done, record.ended)
        self.origin.watermark, self.origin.idle = record.watermark, record.idle
        self.origin.hold(record.held_at, record.held_until_ns)

    def record(self) -> InputRecord:
        queue, origin = self.queue, self.origin
        return InputRecord(
            queue.head, queue.sequence, queue.rows, queue.rows_done, queue.ended, origin.watermark, origin.idle,
            origin.held_at, origin.held_until_ns,
        )

    @property
    def through(self) -> bool:
        """True: all was read that there is. False: there is more, or the sender was stopped before its end."""
        return self.queue.ended and self.origin.watermark == END_OF_TIME

    def end_taken(self, frame: Frame) -> None:
        """The last frame."""
        self._end_watermark = frame.header.watermark
        self.queue.end_taken(frame.end)
        self.end_if_through()

    def end_if_through(self) -> None:
        """What END says counts once all in front of it is done."""
        if self.queue.ended:
            self.origin.has_come()
            self.origin.raise_to(self._end_watermark)

    def decoded(self, frame: Frame, decoding: Decoding | None, index: int) -> Decoded:
        """The rows of a frame. `index`: of this queue among the stage's."""
        header = frame.header
        if decoding is not None:
            decoding.commit_before(header, index)
        try:
            if decoding is not None:
                return decoding.decode(self.codec, header, frame.payload, index, self.queue.rows_done_ahead())
            return self.codec.decode(header.codec, frame.payload, header.rows)
        except (MemoryError, Stopped, QueueDamaged):  # the last of another file, looked at in a pause
            raise
        except Exception as exc:  # what rows raise is theirs: the bytes are not what a codec wrote
            raise self.queue.damaged(frame, f"cannot be decoded ({type(exc).__name__}: {exc})") from exc


class _DecodeAgain:
    """A frame's rows once more, as they were when it was taken."""

    def __init__(self, codec: RowCodec, frame: Frame, decoding: Decoding | None, index: int) -> None:
        """`index`: of its queue among the stage's."""
        self._codec = codec
        self._frame = frame
        self._decoding = decoding
        self._index = index

    def __call__(self) -> Any:
        header, payload = self._frame.header, self._frame.payload
        if self._decoding is not None:
            return self._decoding.decode_again(self._codec, header, payload, self._index).batch
        return self._codec.decode(header.codec, payload, header.rows).batch


class QueueInputs:
    """All input queues of a stage in one slot."""

    def __init__(
        self, queues: list[QueueInput], gate: Gate, run_id: str, edges: Sequence[str], clock: Clock = MACHINE
    ) -> None:
        """`edges`: the names of those in the gate."""
        self.queues = queues
        self._edges = tuple(edges)
        self._now_ns = clock.now_ns
        self._gate = gate
        self._run_id = run_id
        self._turns_done = [edge.turn for edge in gate.edges]
        """Of each edge: the turn to resume with, as far as frames are done; the gate may be further."""
        self.decoding: Decoding | None = None
        """How workers decode; None: as the calling process does, where nobody watches."""
        self.gives_times = False
        """True: the stage gives rows their times itself, whatever its senders know of them."""

    def restore(self, record: StageRecord) -> None:
        for queue in self.queues:
            queue.restore(record.inputs[queue.name])
        for number, name in enumerate(self._edges):
            self._gate.edges[number].turn = self._turns_done[number] = record.turns_in[name]

    def save(self, record: StageRecord) -> None:
        record.inputs = {queue.name: queue.record() for queue in self.queues}
        record.turns_in = dict(zip(self._edges, self._turns_done, strict=True))

    @property
    def ended(self) -> bool:
        return all(each.queue.ended for each in self.queues)

    @property
    def exhausted(self) -> bool:
        """True when nothing comes any more, though some may still be in progress."""
        return all(each.queue.exhausted for each in self.queues)

    @property
    def through(self) -> bool:
        """True: all was read that there is. False: there is more, or a source was stopped before its end."""
        return all(each.through for each in self.queues)

    def origins(self) -> list[Origin]:
        """How far event time has come in each of them."""
        return [each.origin for each in self.queues]

    def origins_by_edge(self) -> list[list[Origin]]:
        """The same, for each edge."""
        return [[self.queues[index].origin for index in edge.inputs] for edge in self._gate.edges]

    def origin_of(self, intake: Intake) -> Origin:
        """That of the queue which an intake came from."""
        return self.queues[intake.input].origin

    def note_waiting(self) -> None:
        """Note which of them have nothing."""
        for each in self.queues:
            each.origin.had_nothing = not (each.queue.waiting or each.queue.in_work or each.queue.exhausted)

    def ready(self) -> bool:
        """True when `take` would find something."""
        return self._choose() is not None

    def _choose(self) -> int | None:
        if self._gate.simple:
            only = self.queues[0].queue
            return 0 if only.waiting and not only.ended else None
        return self._gate.choose([q.queue.waiting for q in self.queues], [q.queue.ended for q in self.queues])

    def take(self) -> Intake | None:
        """The next batch, though others may still be in progress; ends are taken on the way."""
        while (index := self._choose()) is not None:
            given = self.queues[index]
            frame = given.queue.read_nowait()
            if frame is None:
                return None
            match frame.header.kind:
                case Kind.BATCH:
                    return self._intake(given, index, frame)
                case Kind.END:
                    given.end_taken(frame)
                case kind:  # to pass over it would be to lose what it says
                    raise given.queue.damaged(frame, f"is of kind {kind}, which this version of penstock never sends")
        return None

    def _intake(self, given: QueueInput, index: int, frame: Frame) -> Intake:
        header = frame.header
        decoded = given.decoded(frame, self.decoding, index)
        given.origin.has_come()
        turn_end = bool(header.flags & Flag.TURN_END)
        if turn_end and not self._gate.simple:
            edge = self._gate.edges[given.port]
            if edge.merge:
                edge.turn_taken()
        return Intake(
            decoded.batch, header.rows, given.queue.frame_taken(), header.ingest_ns, self._now_ns(), index,
            header.sequence, 0, f"{self._run_id}/{given.name}/{header.sequence}", decoded.failures, header.turn,
            turn_end, frame.end, port=given.port, watermark=header.watermark, idle=bool(header.flags & Flag.IDLE),
            decode_again=_DecodeAgain(given.codec, frame, self.decoding, index),
        )

    def progress(self, intake: Intake) -> None:
        """Rows of the oldest intake in progress are done up to `intake.done`."""
        given = self.queues[intake.input]
        queue = given.queue
        # A frame may be committed in part: a successor leaves out this many of its rows.
        queue.rows_done = intake.done
        if intake.done < intake.length:
            return
        queue.frame_done(intake.end, intake.length)
        if intake.watermark != NO_WATERMARK and not self.gives_times:
            given.origin.raise_to(intake.watermark)
        given.origin.idle = intake.idle and not queue.in_work and not self.gives_times
        given.end_if_through()
        if intake.turn_end and not self._gate.simple:
            edge = self._gate.edges[intake.port]
            if edge.merge:
                self._turns_done[intake.port] += edge.stride

    def publish(self) -> None:
        for each in self.queues:
            each.queue.publish()

    def wake_senders(self) -> None:
        """After `publish` and a fence: ring those that sleep for the room that was made."""
        for each in self.queues:
            each.queue.wake_writer()

    def ring_senders(self) -> None:
        """Ring all of them, asleep or not."""
        for each in self.queues:
            each.queue.ring_writer()

    def wake_after(self) -> float | None:
        """Nothing but the bell tells of input."""
        return None

    def committed(self, number: int) -> None:
        """A record was committed; queues are told by `publish`."""

    def durable(self, number: int) -> None:
        """Senders have no use for it."""

    @property
    def awaits(self) -> int:
        """The commit that must be durable before the stage may finish; 0: none."""
        return 0

    def descriptors(self) -> set[int]:
        return set()

    def woken(self) -> None:
        """Queues have no descriptors."""

    def stop(self) -> None:
        """Queues are drained, not stopped."""

    def close(self) -> None:
        for each in self.queues:
            each.queue.close()
