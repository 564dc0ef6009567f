"""A queue between two slots, as each of its ends has it: `QueueWriter` and `QueueReader`, over a ring.

This is what a slot asks of a queue: room, side files for what is larger than the whole queue, the cursor of what is
done, the neighbour that sleeps until something changes. How frames are kept is the ring's affair; the ends of a queue
that keeps them in another way have the same methods. `slot/output/outputs.py` makes frames of batches, and
`slot/input/queue_inputs.py` batches of frames; `queue_file` is for those who make queues or look at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from penstock.byte_files import DISK, Files
from penstock.channel.bell import Bell, Sleep
from penstock.channel.codec import join_payloads
from penstock.channel.frame import Flag, Frame, Header, Kind, space
from penstock.channel.ring import RingReader, RingWriter
from penstock.channel.side_file import SideFiles
from penstock.errors import QueueDamaged
from penstock.event_time import NO_WATERMARK
from penstock.shared_file import Opening

_TICKET_SPACE: Final = space(64)
"""At least what a frame takes whose payload is in a side file, or one that only ends a turn."""
_END_SPACE: Final = space(0)


class Payload(msgspec.Struct, frozen=True, gc=False):
    """What will be a frame."""

    codec: int
    data: bytes
    rows: int


class QueueWriter:
    """The sending end. What is appended is seen by nobody before `publish`."""

    def __init__(self, path: Path, opening: Opening, receiver: Bell, files: Files = DISK) -> None:
        """`receiver`: the bell of the slot that reads; `files`: where side files are kept."""
        self.path = path
        self._ring = RingWriter(path, opening)
        self._sides = SideFiles(path, files)
        self._receiver = receiver
        self._unpublished = False
        self.capacity = self._ring.capacity
        """Bytes of frames that it holds."""

    def restore(self, tail: int, sequence: int, rows: int) -> None:
        """Resume from what is committed; what was appended behind it never happened."""
        self._ring.restore(tail, sequence, rows)
        self._sides.delete_from(sequence)

    def position(self) -> tuple[int, int, int]:
        """(tail, sequence, rows) behind what was appended, to be committed, and to be given to `restore`."""
        return self._ring.tail, self._ring.sequence, self._ring.rows

    @property
    def rows(self) -> int:
        """Rows appended, ever."""
        return self._ring.rows

    @property
    def rows_taken(self) -> int:
        """Rows that the reader has done with, ever."""
        return self._ring.rows_taken

    # Room.

    def room(self) -> int:
        """Bytes that can be appended now."""
        return self._ring.room()

    def is_too_large(self, size: int) -> bool:
        """True: frames of this many bytes would not fit even if the queue were empty, and go to a side file."""
        return size > self.capacity - _TICKET_SPACE

    def has_room(self, size: int) -> bool:
        """True when frames of this many bytes can be appended now, and behind them one that ends their turn."""
        if self.is_too_large(size):
            return not self._sides.outstanding() and self._ring.has_room(2 * _TICKET_SPACE)
        return self.fits(size + _TICKET_SPACE)

    def fits(self, size: int) -> bool:
        """True when this many bytes can be appended to the queue itself now, or nothing is in it."""
        return self._ring.has_room(min(size, self.capacity))

    def has_room_for_end(self) -> bool:
        return self._ring.has_room(_END_SPACE)

    # The turn.

    def append(
        self, payloads: Sequence[Payload], size: int, *, ingest_ns: int, turn: int, end_turn: bool,
        watermark: int = NO_WATERMARK, idle: bool = False,
    ) -> int:
        """Append frames that take `size` bytes together; gives the bytes sent. There must be room.

        `watermark`: how far event time has come behind the last of them.
        """
        flags = 0
        if self.is_too_large(size):
            # One frame for the whole turn, or it would wait for ever for room that only its own commit makes (trap 2).
            codec, data = join_payloads([(payload.codec, payload.data) for payload in payloads])
            # The file is whole before its ticket is in the ring. Killed in between, `restore` deletes the file.
            ticket = self._sides.write(self._ring.sequence, data)
            payloads = [Payload(codec, ticket, sum(payload.rows for payload in payloads))]
            flags, size = int(Flag.SIDE_FILE), len(data)
        ring, last = self._ring, len(payloads) - 1
        for index, payload in enumerate(payloads):
            end, known = 0, NO_WATERMARK
            if index == last:  # rows of the frames before it are older, and not late
                end, known = (Flag.TURN_END if end_turn else 0) | (Flag.IDLE if idle else 0), watermark
            header = Header(Kind.BATCH, payload.rows, ring.sequence, payload.codec, flags | end, turn, ingest_ns, known)
            ring.append_nowait(header, payload.data)
            self._unpublished = True
        return size

    def append_end(self, watermark: int) -> None:
        """Append the last frame of this queue. `watermark`: `END_OF_TIME` where all was read that there is."""
        self._ring.append_nowait(Header(Kind.END, 0, self._ring.sequence, watermark=watermark), b"")
        self._unpublished = True

    def publish(self, *, always: bool = False) -> None:
        """After the commit: show the reader what was appended. `always`: a successor does not know what was shown."""
        if self._unpublished or always:
            self._ring.publish()
            self._unpublished = False

    # The neighbour.

    @property
    def reader_waits(self) -> bool:
        """True when the receiver sleeps until something comes, and has nothing to do."""
        return bool(self._receiver.asleep & Sleep.FOR_INPUT)

    def wake_reader(self) -> None:
        """After `publish` and a fence: ring the receiver where it sleeps for what comes."""
        if self._receiver.asleep & (Sleep.FOR_INPUT | Sleep.FOR_MORE):
            self._receiver.ring()

    def ring_reader(self) -> None:
        """Ring the receiver whether it sleeps or not: an earlier life may have published and not rung."""
        self._receiver.ring()

    def close(self) -> None:
        self._ring.close()


class QueueReader:
    """The receiving end. Frames may be read ahead of the one in progress, and are done with in order."""

    def __init__(self, path: Path, opening: Opening, sender: Bell, files: Files = DISK) -> None:
        """`sender`: the bell of the slot that writes; `files`: where side files are kept."""
        self.path = path
        self._ring = RingReader(path, opening)
        self._sides = SideFiles(path, files)
        self._sender = sender
        self.ended = False
        """True: its END was read, and all in front of it is done."""
        self.head = 0
        """The head to commit: behind the last frame that is wholly done."""
        self.sequence = 0
        """Number of the frame at `head`."""
        self.rows_done = 0
        """Rows done in the frame at `head`."""
        self._in_work = 0
        """Frames that were taken and are not done."""
        self._held_end: int | None = None
        """The position behind the END frame, where it was read before the frames in front of it were done."""
        self._side_done = False

    def restore(self, head: int, sequence: int, rows: int, rows_done: int, ended: bool) -> None:
        """Resume from what is committed."""
        self._ring.restore(head, sequence, rows)
        self.head, self.sequence, self.rows_done = head, sequence, rows_done
        self.ended = ended
        # An earlier life may have died between the commit of these frames and the deletion of their side files.
        self._sides.delete_below(sequence, pinned=self._ring.pinned)

    @property
    def rows(self) -> int:
        """Rows of whole frames done, ever."""
        return self._ring.rows

    # What comes.

    @property
    def waiting(self) -> bool:
        """True when there is something to read, if only damage: `read_nowait` tells."""
        return self._ring.waiting

    @property
    def exhausted(self) -> bool:
        """True when its END was read."""
        return self.ended or self._held_end is not None

    def read_nowait(self) -> Frame | None:
        """The next frame, verified, with its payload wherever that stands. None: nothing there."""
        frame = self._ring.read_nowait()
        if frame is None or not frame.header.flags & Flag.SIDE_FILE:
            return frame
        self._side_done = True
        return Frame(frame.header, self._sides.read(frame.header.sequence, frame.payload), frame.end)

    def damaged(self, frame: Frame, what: str) -> QueueDamaged:
        """What to raise for a frame that arrived as it was sent and cannot be used."""
        return QueueDamaged(self.path, f"frame {frame.header.sequence} {what}")

    # What is done.

    def rows_done_ahead(self) -> int:
        """How many rows of the next frame were done in an earlier life."""
        return self.rows_done if self._in_work == 0 else 0

    def frame_taken(self) -> int:
        """A frame is in progress now; gives how many of its rows were done in an earlier life."""
        done = self.rows_done_ahead()
        self._in_work += 1
        return done

    @property
    def in_work(self) -> bool:
        """True: a frame was taken and is not done."""
        return self._in_work > 0

    def frame_done(self, frame_end: int, rows: int) -> None:
        """The oldest frame in progress is done: the commit may give its room back."""
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
        self._ring.rows += rows

    def publish(self) -> None:
        """After the commit: give the room of what is done back."""
        # Up to what is done, not up to what was read: a successor reads the frames in progress once more.
        self._ring.publish_up_to(self.head)
        if self._side_done:
            # Only now: before the commit a successor would have needed the file again. And the look at the pin only
            # now: whoever pins after it reads a record that has these frames done.
            deleted = self._sides.delete_below(self.sequence, pinned=self._ring.pinned)
            self._side_done = not deleted or self._in_work > 0

    # The neighbour.

    def wake_writer(self) -> None:
        """After `publish` and a fence: ring the sender where it sleeps for room, once half of the queue is free."""
        if self._sender.asleep & Sleep.FOR_ROOM and self._ring.half_empty:
            self._sender.ring()

    def ring_writer(self) -> None:
        """Ring the sender whether it sleeps or not: an earlier life may have published and not rung."""
        self._sender.ring()

    def close(self) -> None:
        self._ring.close()
        self._sender.close()
