"""Files in memory are as files on disk: the same appends, commits and deaths leave the same, whatever their order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.byte_files import DISK, Files
from penstock.channel.bell import FifoBell, MemoryBell, MemoryWaiter, Sleep, create_bell, create_word
from penstock.channel.queue import Payload, QueueReader, QueueWriter
from penstock.channel.queue_file import create_queue
from penstock.dead_letter_frames import read_forward
from penstock.dead_letter_record import new_record
from penstock.errors import QueueDamaged
from penstock.mapped_file import by_mapping
from penstock.memory_files import MemoryFiles
from penstock.shared_file import Opening
from penstock.slot.output.spool import Spool
from penstock.slot.records.control import Control
from penstock.slot.records.dead_letter_file import DeadLetterFile
from penstock.slot.records.journal import Journal, create_journal
from penstock.slot.records.record import InputRecord, OutputRecord, Record, StageRecord
from penstock.slot.records.retries import RetryFile
from penstock.slot.time_and_chance import Clock

CAPACITY = 1024
CLOCK = Clock(since_boot_s=lambda: 100.0)


class Slot:
    """A slot that sends itself what it commits; everything that it keeps is in one kind of files."""

    def __init__(self, root: Path, files: Files, opening: Opening) -> None:
        self.root, self.files, self.opening = root, files, opening
        self.on_disk = files is DISK
        create_queue(root / "queue", CAPACITY, files)
        first = StageRecord(inputs={"q": InputRecord()}, outputs={"q": OutputRecord()})
        create_journal(root / "journal", Record(stages=[first]), 128, files)
        if self.on_disk:
            create_bell(root / "bell")
        else:
            create_word(root / "bell", files)
        self.live()

    def live(self) -> None:
        """A life begins: it takes over what the journal says, and publishes that."""
        self.journal = Journal(self.root / "journal", self.opening, self.files)
        record = self.journal.load()
        self.number, (stage,) = record.number, record.stages
        self.bell = (FifoBell if self.on_disk else MemoryBell)(self.root / "bell", self.opening)
        self.writer = QueueWriter(self.root / "queue", self.opening, self.bell, self.files)
        self.reader = QueueReader(self.root / "queue", self.opening, self.bell, self.files)
        sent, taken = stage.outputs["q"], stage.inputs["q"]
        self.writer.restore(sent.tail, sent.sequence, sent.rows)
        self.reader.restore(taken.head, taken.sequence, taken.rows, taken.rows_done, taken.ended)
        self.letters = DeadLetterFile(
            self.root / "dead" / "pipeline" / "run" / "slot.letters", record.logs.get("letters", ()), self.files
        )
        self.retries = RetryFile(self.root / "retries", record.logs.get("retries", ()), CLOCK, self.files)
        self.writer.publish(always=True)
        self.reader.publish()

    def die(self) -> None:
        """Nothing but what is in files is left; descriptors are closed, as the kernel does."""
        for each in (self.writer, self.journal, self.retries, self.letters):
            each.close()
        if self.on_disk:
            self.reader.close()

    def do(self, step: tuple[str, int]) -> Any:
        """One step; what is seen of it."""
        what, size = step
        return getattr(self, what)(size)

    def send(self, size: int) -> object:
        data = bytes(size % 251 for _ in range(size))
        if not self.writer.has_room(size):
            return "full"
        return self.writer.append([Payload(0, data, 1)], size, ingest_ns=0, turn=0, end_turn=False)

    def take(self, size: int) -> object:
        frame = self.reader.read_nowait()
        if frame is None:
            return None
        self.reader.frame_taken()
        self.reader.frame_done(frame.end, frame.header.rows)
        return frame

    def set_aside(self, size: int) -> object:
        return self.letters.append(new_record(
            pipeline="pipeline", stage="s", slot=0, operator="map", time_s=1.0, attempts=1, error="bad", traceback="",
            row="x" * size,
        ))

    def let_wait(self, size: int) -> object:
        self.retries.add(stage=0, due_s=float(size), attempts=1, row=bytes(size), key=f"k{size}", ingest_ns=0)
        return len(self.retries)

    def try_again(self, size: int) -> object:
        waiting = self.retries.take_due(1e9)
        if waiting is not None:
            self.retries.through(waiting.number)
        return waiting

    def commit(self, size: int, *, dies: str = "") -> object:
        self.number += 1
        reader = self.reader
        stage = StageRecord(
            inputs={"q": InputRecord(reader.head, reader.sequence, reader.rows, reader.rows_done, reader.ended)},
            outputs={"q": OutputRecord(*self.writer.position())},
        )
        logs = {"letters": self.letters.flush(), "retries": self.retries.flush()}
        record = Record(self.number, logs, "run" * size, [stage])
        if dies != "before":
            self.journal.commit(record)
        if not dies:
            self.writer.publish()
            reader.publish()
            return self.looked_at()
        return self.kill(size)

    def kill_before_commit(self, size: int) -> object:
        return self.commit(size, dies="before")

    def kill_after_commit(self, size: int) -> object:
        return self.commit(size, dies="after")

    def kill(self, size: int) -> object:
        self.die()
        self.live()
        return self.looked_at()

    def looked_at(self) -> object:
        """All that a successor or a reader of the store may see."""
        waiting = sorted(self.retries._waiting)
        path = self.letters._path
        letters = [f.record() for f in read_forward(path, self.files)] if self.files.exists(path) else []
        sides = [side.name for side in self.files.beginning_with(self.root / "queue.side-")]
        room = self.writer.room()
        return self.journal.load(), waiting, [(letter.id, letter.row) for letter in letters], sides, room


steps = st.lists(
    st.tuples(
        st.sampled_from(["send", "take", "set_aside", "let_wait", "try_again", "commit", "kill", "kill_before_commit",
                         "kill_after_commit"]),
        st.integers(1, 2 * CAPACITY),
    ),
    max_size=40,
)


@given(steps)
def test_the_same_steps_and_deaths_leave_the_same_on_disk_and_in_memory(steps: list[tuple[str, int]]) -> None:
    memory = MemoryFiles()
    with tempfile.TemporaryDirectory() as folder:
        on_disk, in_memory = Slot(Path(folder), DISK, by_mapping), Slot(Path("/memory"), memory, memory.share)
        try:
            for step in steps:
                assert in_memory.do(step) == on_disk.do(step), step
        finally:
            on_disk.die()
            in_memory.die()


def _files(tmp_path: Path) -> Iterator[tuple[Files, Path]]:
    yield DISK, tmp_path
    yield MemoryFiles(), Path("/memory")


def test_files_are_made_once_renamed_cut_and_removed_alike(tmp_path: Path) -> None:
    seen = []
    for files, root in _files(tmp_path):
        with pytest.raises(FileNotFoundError):
            files.open(root / "a", os.O_RDWR)
        with pytest.raises(FileNotFoundError):
            files.rename(root / "a", root / "b")
        file = files.open(root / "a", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        with pytest.raises(FileExistsError):
            files.open(root / "a", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        file.pwrite(b"behind a hole", 4)
        file.truncate(8)
        file.reserve(10)
        other = files.open(root / "ab", os.O_RDWR | os.O_CREAT)
        other.pwrite(b"other", 0)
        files.rename(root / "ab", root / "a")
        file.pwrite(b"!", 0)  # what was replaced is written on by those who have it open, and by nobody seen
        again = files.open(root / "a", os.O_RDONLY)
        seen.append((file.size, file.pread(99, 0), again.pread(99, 0), files.exists(root / "ab"),
                     [path.name for path in files.beginning_with(root / "a")]))
        files.remove(root / "a")
        files.remove(root / "a")
        assert not files.exists(root / "a")
        for each in (file, other, again):
            each.close()
    assert seen[0] == seen[1] == (10, b"!\0\0\0behi\0\0", b"other", False, ["a"])


def test_whoever_opens_a_path_in_memory_sees_what_others_write_and_is_told_what_is_missing() -> None:
    files, path = MemoryFiles(), Path("/control")
    with pytest.raises(QueueDamaged, match="is missing"):
        Control(path, files.share)
    Control.create(path, files)
    one, other = Control(path, files.share), Control(path, files.share)
    one.drain()
    assert other.draining and not other.stopping
    with pytest.raises(TypeError):
        files.share(path, "it", writable=False).words[0] = 1
    files.open(Path("/short"), os.O_RDWR | os.O_CREAT).pwrite(b"x", 0)
    with pytest.raises(QueueDamaged, match="was cut from 4096 to 1 bytes"):
        Control(Path("/short"), files.share)


def test_what_a_row_gives_is_spooled_in_memory_and_cleaned() -> None:
    from penstock.slot.output.expansion import Expansion

    files = MemoryFiles()
    spool = Spool(Path("/slot"), 0, Expansion("many", 1 << 40, lambda: "key"), files)
    spool.begin()
    rows = spool.as_rows(bytes([n % 256]) * 4096 for n in range(4000))
    assert not isinstance(rows, list) and [row[0] for row in rows] == [n % 256 for n in range(4000)]
    spool.give(0, rows)
    (given_,) = spool.end(failed=False)
    assert spool.chunk(given_.name, 0) is not None
    spool.clean(())
    assert files.beginning_with(Path("/slot/spill")) == []


def test_a_bell_in_memory_is_heard_once_and_a_sleeper_lets_others_run() -> None:
    files, path = MemoryFiles(), Path("/bell")
    create_word(path, files)
    bell = MemoryBell(path, files.share)
    naps: list[float] = []
    waiter = MemoryWaiter(bell, naps.append)
    bell.say_asleep(Sleep.FOR_INPUT)
    assert bell.asleep == Sleep.FOR_INPUT
    waiter.wait(2.0)
    bell.ring()
    waiter.wait(3.0)  # rung before: it returns at once
    bell.say_asleep(Sleep.FOR_ROOM)  # swallows what was rung
    waiter.wait(-1.0)
    bell.say_awake()
    assert naps == [2.0, 0.0] and bell.asleep == Sleep.AWAKE
