"""The cut: what a run is at one moment, read from its files while its workers go on. They are not asked.

First the pins, then the records, downstream first (`run_shape`), then what the records speak of: the frames in each
queue, their side files, logs as far as they are covered. `consistent` says what goes together. What was pinned is
released in two steps: queues as soon as their frames are copied, for their writers may wait for room; the rest when
files are copied, too. A process that dies in between leaves its pins, and the supervisor takes them away (`release`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from penstock.byte_files import DISK, Files
from penstock.channel.bell import Bell, FifoBell, Sleep
from penstock.channel.kept_files import read_part, remove_kept, size_of
from penstock.channel.ring_copy import PinnedRing, room_is_pinned, side_files, unpin
from penstock.channel.words import fence
from penstock.checkpoints.consistent import Backlog, NamedFile, NamedLog, backlogs, letters_left, logs, whole_files
from penstock.checkpoints.run_shape import RunShape, SlotFiles
from penstock.errors import QueueDamaged
from penstock.plan.paths import RunPaths
from penstock.shared_file import Opening, by_calls
from penstock.slot.records.control import Control
from penstock.slot.records.journal import load_record
from penstock.slot.records.record import Record

T = TypeVar("T")
_LOOKS = 1000
"""A record that is read while its slot commits twice is torn; as often as this in a row, it is damage."""
_PIECE_BYTES = 4 * 1024 * 1024


class RunFiles(msgspec.Struct, frozen=True):
    """Where the files of a run are, and how they are read."""

    paths: RunPaths
    shape: RunShape
    dead_letters: Path
    """The run's folder of them."""
    gone_letters: Mapping[str, Mapping[int, int]] = {}
    """As `Membership.letters`: of slots that there are no more, and whose letters belong to the cut all the same."""
    opening: Opening = by_calls
    files: Files = DISK
    bell_of: Callable[[Path], Bell] = lambda path: FifoBell(path, by_calls)
    wall_s: Callable[[], float] = time.time


class Frames(msgspec.Struct, frozen=True):
    """What was in a queue, copied."""

    backlog: Backlog
    capacity: int
    data: bytes


class Copied(msgspec.Struct, frozen=True):
    """A cut. Its logs and files are still in their places, and stay there until `Pins.release`."""

    taken_s: float
    """Wall clock at which all records had been read."""
    slots: Sequence[SlotFiles]
    records: Sequence[Record]
    queues: Sequence[Frames]
    logs: Sequence[NamedLog]
    whole: Sequence[NamedFile]


class Pins:
    """What keeps a run's files from changing under a copy."""

    def __init__(self, run: RunFiles, number: int) -> None:
        """`number`: of the cut; not 0, and no other one of this run has it."""
        self._run = run
        self.rings: list[PinnedRing] = []
        """As the channels of the run's shape."""
        self._control = Control(run.paths.control, run.opening)
        # Before the first record is read: see `kept_files`.
        self._control.pin(number)
        fence()
        try:
            for channel in run.shape.channels:
                self.rings.append(PinnedRing(run.paths.root / channel.path, run.opening, number))
        except BaseException:
            self.release()
            raise

    def free_room(self) -> None:
        """Frames are copied: writers may go on."""
        for ring in self.rings:
            ring.free_room()
        # After the fence, as after every publish: a writer either sees that the pin is gone, or is seen asleep.
        fence()
        _wake(self._run, Sleep.FOR_ROOM)

    def release(self) -> None:
        """All is copied: what was kept for that goes."""
        for ring in self.rings:
            ring.release()
        self._control.unpin()
        self._control.close()
        fence()
        _wake(self._run, Sleep.FOR_ROOM)
        _remove_kept(self._run)


def copy_run(run: RunFiles, number: int, put: Callable[[Copied], T]) -> T:
    """Take a cut, and have `put` store it, whose result is given; logs and files stay where they are meanwhile.

    Raises `Inconsistent`, `QueueDamaged`, `FileUnusable`, and what `put` raises.
    """
    pins = Pins(run, number)
    try:
        copied = _copied(run, pins.rings)
        pins.free_room()
        return put(copied)
    finally:
        pins.release()


def copy_ended(run: RunFiles, number: int, put: Callable[[Copied], T]) -> T:
    """The same of a run at which nobody is any more: its bells and its control page need not be there."""
    rings: list[PinnedRing] = []
    try:
        for channel in run.shape.channels:
            rings.append(PinnedRing(run.paths.root / channel.path, run.opening, number))
        return put(_copied(run, rings))
    finally:
        for ring in rings:
            ring.release()


def _copied(run: RunFiles, rings: Sequence[PinnedRing]) -> Copied:
    records = [read_record(slot.journal(run.paths), run.opening) for slot in run.shape.slots]
    taken_s = run.wall_s()
    queues = [
        Frames(backlog, ring.capacity, ring.copy(backlog.head, backlog.tail))
        for backlog, ring in zip(backlogs(run.shape, records), rings, strict=True)
    ]
    whole = whole_files(run.shape, records, run.paths)
    for queue in queues:
        whole += [
            NamedFile(str(path.relative_to(run.paths.root)), path)
            for path in side_files(run.paths.root / queue.backlog.path, queue.data, queue.backlog.head)
        ]
    covered = [
        *logs(run.shape, records, run.paths, run.dead_letters), *letters_left(run.gone_letters, run.dead_letters)
    ]
    return Copied(taken_s, run.shape.slots, records, queues, covered, whole)


def read_record(journal: Path, opening: Opening = by_calls) -> Record:
    """The last committed record of a slot that continues meanwhile. Raises `QueueDamaged`, `FileUnusable`."""
    for look in range(_LOOKS):
        try:
            return load_record(journal, opening)
        except QueueDamaged:
            # Its slot committed twice while it was read, and the second one goes where the first look was.
            if look == _LOOKS - 1:
                raise
    raise AssertionError("unreachable")


def pieces(files: Files, path: Path, offset: int, length: int) -> Iterator[bytes]:
    """The bytes of a log or a file of a cut. Raises `QueueDamaged` where some are missing."""
    end = offset + length
    while offset < end:
        data = read_part(files, path, offset, min(end - offset, _PIECE_BYTES))
        if not data:
            raise QueueDamaged(path, f"a file that a record speaks of ends at {offset} instead of {end}")
        yield data
        offset += len(data)


def length_there(files: Files, log: NamedLog) -> int:
    """How much of a log's covered length there is: all of it, or what the user has left of it."""
    if not log.file.may_be_short:
        return log.file.length
    try:
        return min(size_of(files, log.file.path), log.file.length)
    except QueueDamaged:
        return 0


def release(run: RunFiles) -> None:
    """Take away what a dead checkpointer has pinned, and ring whom it owed a ring.

    Raises `QueueDamaged`, `FileUnusable`.
    """
    control = Control(run.paths.control, run.opening)
    pinned = control.pinned  # it goes first, and comes last
    if pinned:
        for channel in run.shape.channels:
            unpin(run.paths.root / channel.path, run.opening)
    fence()
    # Whatever for: it may have made room, or said what is durable, and died before ringing (trap 6).
    _wake(run, ~Sleep.AWAKE)
    if pinned:
        control.unpin()
        _remove_kept(run)
    control.close()


def holds_room(run: RunFiles) -> bool:
    """True: a checkpointer keeps writers from room. Raises `QueueDamaged`, `FileUnusable`."""
    return any(room_is_pinned(run.paths.root / channel.path, run.opening) for channel in run.shape.channels)


def _wake(run: RunFiles, why: int) -> None:
    """Ring those that sleep for this: bits of `Sleep`."""
    for slot in run.shape.slots:
        bell = run.bell_of(slot.bell(run.paths))
        with contextlib.closing(bell):
            if bell.asleep & why:
                bell.ring()


def _remove_kept(run: RunFiles) -> None:
    # One that a worker renames this very moment, having seen the pin before, stays until the next cut is through.
    # A folder that is gone: the run has ended meanwhile.
    for folder in {run.paths.root / "queues", *(slot.folder(run.paths) for slot in run.shape.slots)}:
        with contextlib.suppress(FileNotFoundError):
            remove_kept(run.files, folder)
