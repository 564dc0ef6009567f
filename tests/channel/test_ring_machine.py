"""A queue under any schedule of writer and reader, either of which may die at any step: nothing lost, nothing twice."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.channel.frame import HEADER_BYTES, Header, Kind, space
from penstock.channel.queue_file import look
from penstock.channel.ring import RingReader, RingWriter, WouldBlock, create_ring
from penstock.mapped_file import by_mapping


class Schedules(RuleBasedStateMachine):
    """A model beside the queue: all frames that were ever appended and not torn away by a death."""

    @initialize(capacity=st.sampled_from([64, 120, 256, 1000]))
    def make(self, capacity: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "queue"
        self.capacity = capacity
        create_ring(self.path, capacity)
        self.writer, self.reader = RingWriter(self.path, by_mapping), RingReader(self.path, by_mapping)
        self.frames: list[bytes] = []
        self.published = 0
        self.given_back = 0
        self.done = 0
        self.writer_journal = (0, 0, 0)
        self.reader_journal = (0, 0, 0)

    def _used(self) -> int:
        return sum(space(len(frame)) for frame in self.frames[self.given_back :])

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        length = data.draw(st.one_of(st.integers(0, 40), st.integers(0, self.capacity - HEADER_BYTES)))
        payload = data.draw(st.binary(min_size=1, max_size=4)).ljust(length, b"x")[:length]
        header = Header(Kind.BATCH, length, self.writer.sequence)
        fits = self._used() + space(length) <= self.capacity
        assert self.writer.room() == self.capacity - self._used()
        if fits:
            self.writer.append_nowait(header, payload)
            self.frames.append(payload)
        else:
            with pytest.raises(WouldBlock):
                self.writer.append_nowait(header, payload)

    @rule(publish=st.booleans())
    def commit_writer(self, publish: bool) -> None:
        self.writer_journal = (self.writer.tail, self.writer.sequence, self.writer.rows)
        if publish:
            self.writer.publish()
            self.published = len(self.frames)

    @rule()
    def writer_dies(self) -> None:
        self.writer.close()
        self.writer = RingWriter(self.path, by_mapping)
        self.writer.restore(*self.writer_journal)
        self.writer.publish()
        del self.frames[self.writer_journal[1] :]
        self.published = len(self.frames)

    @rule()
    def read(self) -> None:
        assert self.reader.waiting == (self.reader.sequence < self.published)
        frame = self.reader.read_nowait()
        if self.reader.sequence - (frame is not None) == self.published:
            assert frame is None
            return
        assert frame is not None
        assert frame.payload == self.frames[frame.header.sequence]
        assert frame.header.sequence == self.reader.sequence - 1
        self.reader.rows += frame.header.rows

    @rule(publish=st.booleans())
    def commit_reader(self, publish: bool) -> None:
        self.reader_journal = (self.reader.head, self.reader.sequence, self.reader.rows)
        if publish:
            self.reader.publish()
            self.given_back = self.reader.sequence

    @rule()
    def reader_dies(self) -> None:
        self.reader.close()
        self.reader = RingReader(self.path, by_mapping)
        self.reader.restore(*self.reader_journal)
        self.reader.publish()
        self.given_back = self.reader_journal[1]

    @rule()
    def everything_is_drained(self) -> None:
        self.commit_writer(publish=True)
        while self.reader.sequence < self.published:
            self.read()
        self.commit_reader(publish=True)
        assert self.writer.room() == self.capacity
        assert look(self.path).queued_rows == 0

    @invariant()
    def what_anybody_sees_is_what_was_published(self) -> None:
        rows = sum(map(len, self.frames[: self.published])) - sum(map(len, self.frames[: self.given_back]))
        seen = look(self.path)
        assert seen.queued_rows == rows
        assert (seen.queued_bytes > 0) == (self.given_back < self.published)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.writer.close()
            self.reader.close()
            self.folder.cleanup()


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(max_examples=150, stateful_step_count=50)
