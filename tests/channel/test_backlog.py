"""What is kept of a queue that nobody is at: all that its next reader may ask for, and little more."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from penstock.channel import backlog
from penstock.channel.frame import Header, Kind
from penstock.channel.ring import CONTROL_BYTES, RingReader, RingWriter, WouldBlock, create_ring
from penstock.shared_file import by_calls

CAPACITY = 64 * 1024
steps = st.lists(st.tuples(st.sampled_from(["append", "publish", "read"]), st.integers(0, 20_000)), max_size=60)


@given(steps, st.integers(0, 3))
def test_a_shrunk_queue_gives_what_the_whole_one_gives_and_what_was_appended_but_not_published(
    schedule: list[tuple[str, int]], unpublished: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, copy = Path(folder, "queue"), Path(folder, "copy")
        create_ring(path, CAPACITY)
        writer, reader = RingWriter(path, by_calls), RingReader(path, by_calls)
        waiting: list[bytes] = []
        appended: list[bytes] = []

        def append(size: int) -> None:
            payload = bytes([writer.sequence % 251]) * size
            try:
                writer.append_nowait(Header(Kind.BATCH, 1, writer.sequence), payload)
                appended.append(payload)
            except WouldBlock:
                return

        for step, size in schedule:
            if step == "append":
                append(size)
            elif step == "publish":
                writer.publish()
                waiting += appended
                appended.clear()
            elif reader.read_nowait() is not None:
                reader.publish()
                waiting.pop(0)
        for _ in range(unpublished):
            append(100)
        backlog.copy_sparse(path, copy)
        kept = copy.stat().st_blocks * 512
        assert kept <= CONTROL_BYTES + writer.tail - reader.head + 4 * 4096
        backlog.reserve(copy)
        assert copy.stat().st_blocks * 512 >= CONTROL_BYTES + CAPACITY
        # The next life of the writer publishes what its journal says, and the reader reads all.
        again = RingWriter(copy, by_calls)
        again.restore(writer.tail, writer.sequence, writer.rows)
        again.publish()
        follower = RingReader(copy, by_calls)
        follower.restore(reader.head, reader.sequence, reader.rows)
        found = []
        while (frame := follower.read_nowait()) is not None:
            found.append(frame.payload)
        assert found == waiting + appended
        for ring in (writer, reader, again, follower):
            ring.close()
