"""The simulated machine: its memory, its disk, its clock, and what befalls those who work on it. Made of one seed."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from sim_endpoints import Row, Target
from sim_memory import Bells, SimulatedBell, SimulatedFile, SimulatedWaiter
from sim_pipelines import SHAPES, Fates, Shape, shape
from sim_schedule import Schedule

from penstock.byte_files import ByteFile
from penstock.channel.ring import CONTROL_BYTES, W_HEAD, W_TAIL
from penstock.dead_letter_record import pickled
from penstock.memory_files import MemoryFiles
from penstock.operator import Unavailable
from penstock.plan.paths import RunPaths
from penstock.shared_file import SharedFile
from penstock.slot.ports import World
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.records.journal import load_record
from penstock.slot.records.life import FailureNote
from penstock.slot.records.record import Record
from penstock.slot.time_and_chance import Clock

RUN = Path("/run")
_SEGFAULT, _KILLED, _FOREVER_S = 11, 9, 1e6


MOST_WORKERS = 4
"""Of a stage, whatever becomes of it."""


class Machine:
    """All that outlives a process."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.schedule = Schedule(seed)
        self.random = random = self.schedule.random
        self.shape: Shape = shape(random.randrange(SHAPES))
        self.rows = random.choice((3, 10, 25, 25, 60))
        bad = random.random() < 0.5
        self.fates = Fates(
            seed, self.shape, failing=0.06 * bad, flaky=0.1 * bad, killing=random.choice((0.0, 0.0, 0.03)) * bad,
            refusing=0.04 * bad,
        )
        self.source_waits = random.choice((0.0, 0.0, 0.3))
        self.slow = random.choice((0.0, 0.0, 0.02, 0.2))
        """The share of calls that take a while."""
        self.trouble = random.choice((0.0, 0.0, 0.0, 0.01))
        """How often what is outside fails, and how often a write does."""
        self.full_disk = (0.0, 0.0)
        """From when until when nothing can be written."""
        if random.random() < 0.1:
            self.full_disk = (start := self.schedule.now + random.random() * 0.05, start + random.random())
        self.memory = MemoryFiles()
        self.disk = Disk(self)
        self.bells = Bells(self.schedule)
        self.targets: dict[tuple[str, int], Target] = {}
        self._calls = 0
        self._failures: dict[tuple[str, int, int], int] = defaultdict(int)
        self.keyed = {stage.name: stage.keyed for stage in self.shape.stages if stage.keyed}
        self.slots_of_keys: dict[tuple[str, int], int] = {}
        self.commits = 0
        self.drained = False
        """A drain was ordered; a failed run may have begun it, and the next one continues from there."""
        self.late: list[tuple[object, int, int]] = []
        """What came behind its time, or time that went back: there must be none."""
        self.at_the_end = False
        """An operator was told that its input is through."""
        self.sends_to: dict[Path, list[Path]] = {}
        """The queues that each slot sends to, by its bell."""
        self.damaged = False
        """A bit of a queue was flipped."""
        self.durable_records: Callable[[str], list[Record]] | None = None
        """Of a slot, in the newest checkpoint; None: nobody takes checkpoints."""
        self.pid = 100
        """Of the process that was born last."""
        self.notes: dict[Path, FailureNote] = {}
        """What workers that gave up have left."""
        now_s = self.schedule.time_s
        self.clock = Clock(
            now_s, lambda: int(now_s() * 1e9), lambda: 1.7e9 + now_s(), lambda: int((1.7e9 + now_s()) * 1e9), now_s,
            lambda: 0.0, random.random,
        )

        self.world = World(
            RunPaths(RUN), self.opening, self.disk, self.bell_at,
            lambda bell, event_loop: SimulatedWaiter(bell, self._half_empty), lambda timeout_s, on_tick: None,
            self.clock, CrashPoints(()), pickled,
        )

    # What is the users'.

    def target(self, sink: str, slot: int) -> Target:
        found = self.targets.get((sink, slot))
        if found is None:
            found = self.targets[sink, slot] = Target()
        return found

    def cut_back(self, target: Target, length: int) -> None:
        """What a killed worker wrote behind its last commit."""
        self.schedule.point()
        if len(target.rows) < length:
            self.schedule.violate(f"a sink has {len(target.rows)} rows, and {length} were committed")
        del target.rows[length:]

    def acknowledged(self, split: tuple[int, int], position: int) -> None:
        """A source is told that rows before a position are durable."""
        assert self.schedule.current is not None
        group, slot = self.schedule.current.name.split("#")[0].split("/")
        record = load_record(self.world.paths.slot(group, int(slot)).journal, self.opening)
        found = [s.position for stage in record.stages for s in stage.splits.values() if _within(s.position, split)]
        if not any(committed >= position for committed in found):
            self.schedule.violate(f"{group}: {position} is acknowledged, and {found} are committed")
        if self.durable_records is not None:
            found = [
                s.position for record in self.durable_records(group) for stage in record.stages
                for s in stage.splits.values() if _within(s.position, split)
            ]
            if not any(durable >= position for durable in found):
                self.schedule.violate(f"{group}: {position} is acknowledged, and a checkpoint covers {found}")

    def called(self, stage: str, row: Row) -> int:
        """A function of the user's is called; the number of the call. It may raise, take its time, or kill."""
        schedule, random, fates = self.schedule, self.random, self.fates
        schedule.point()
        self._calls += 1
        call, number = self._calls, row[0]
        assert schedule.current is not None
        slot = schedule.current.slot
        found = self.keyed.get(stage)
        if found and self.slots_of_keys.setdefault((stage, number % found), slot) != slot:
            schedule.violate(f"{stage}: rows of key {number % found} in two slots")
        if self.slow and random.random() < self.slow:
            schedule.spend(random.random() * 0.003)
        kind = fates.kind(stage, number)
        if kind == "kills":
            schedule.die(_SEGFAULT)
        elif kind == "shot":
            schedule.spend(random.random() * 0.0005)
            schedule.die(_KILLED)
        elif kind == "hangs":
            schedule.spend(_FOREVER_S)
        elif kind == "fails":
            raise ValueError(f"row {number} fails")
        elif kind == "flaky":
            seen = self._failures[stage, slot, number] = self._failures[stage, slot, number] + 1
            if seen <= fates.failures(stage, number):
                raise ConnectionError(f"row {number} fails for the time {seen}")
        return call

    def may_fail(self, what: str) -> None:
        """What is outside fails now and then."""
        if self.trouble and self.random.random() < self.trouble:
            if self.random.random() < 0.5:
                raise Unavailable(f"{what} is down")
            raise OSError(errno.EIO, f"{what}: {os.strerror(errno.EIO)}")

    # Memory.

    def opening(
        self, path: Path, what: str, *, size: int | None = None, least: int = 1, writable: bool = True,
        for_children: bool = False,
    ) -> SharedFile:
        """As `shared_file.Opening` says."""
        self.schedule.point()
        there = self.memory.share(path, what, size=size, least=least)
        if path.suffix == ".page":
            return there  # figures for those who look; a point for each would take most of the time
        stored = self._flipped if path.name == "journal" else None
        return SimulatedFile(self.schedule, there, stored)

    def _flipped(self, index: int, value: int) -> None:
        """A word of a journal was stored: the selector, for a turn that happens."""
        self.commits += 1
        self.schedule.progress()

    def _half_empty(self, bell: Path) -> bool:
        for queue in self.sends_to[bell]:
            there = self.memory.share(queue, "the queue")
            if there.words[W_TAIL] - there.words[W_HEAD] > (there.size - CONTROL_BYTES) // 2:
                return False
        return True

    def bell_at(self, path: Path) -> SimulatedBell:
        return SimulatedBell(path, self.opening, self.bells)


def _within(position: object, split: tuple[int, int]) -> bool:
    return isinstance(position, int) and split[0] <= position <= split[1]


class Disk:
    """The disk, as `byte_files.Files`: it is full at times, and writes less than it was given."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def open(self, path: Path, flags: int, *, single: bool = False) -> ByteFile:
        self._call()
        return _DiskFile(self._machine, self._machine.memory.open(path, flags, single=single))

    def open_below(self, place: Path, names: Sequence[str], flags: int) -> ByteFile:
        self._call()
        return _DiskFile(self._machine, self._machine.memory.open_below(place, names, flags))

    def exists(self, path: Path) -> bool:
        self._call()
        return self._machine.memory.exists(path)

    def beginning_with(self, path: Path) -> list[Path]:
        self._call()
        return self._machine.memory.beginning_with(path)

    def rename(self, path: Path, to: Path) -> None:
        self._call()
        self._machine.memory.rename(path, to)

    def remove(self, path: Path) -> None:
        self._call()
        self._machine.memory.remove(path)

    def room(self, folder: Path) -> int:
        return self._machine.memory.room(folder)

    def _call(self) -> None:
        self._machine.schedule.point()
        self._machine.schedule.fence()


class _DiskFile:
    def __init__(self, machine: Machine, file: ByteFile) -> None:
        self._machine = machine
        self._file = file

    @property
    def size(self) -> int:
        self._machine.schedule.point()
        return self._file.size

    def pread(self, length: int, offset: int) -> bytes:
        self._machine.schedule.point()
        return self._file.pread(length, offset)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        machine, count = self._machine, len(data)
        machine.schedule.point()
        machine.schedule.fence()
        self._may_be_full()
        if count > 1 and machine.random.random() < 0.2:
            count = 1 + int(machine.random.random() * count)  # a signal, or the end of what the disk has
        return self._file.pwrite(data[:count], offset)

    def reserve(self, size: int) -> None:
        self._machine.schedule.point()
        self._may_be_full()
        self._file.reserve(size)

    def _may_be_full(self) -> None:
        machine = self._machine
        start, end = machine.full_disk
        if start <= machine.schedule.now < end or (machine.trouble and machine.random.random() < machine.trouble):
            number = machine.random.choice((errno.ENOSPC, errno.EIO))
            raise OSError(number, os.strerror(number))

    def truncate(self, length: int) -> None:
        self._machine.schedule.point()
        self._file.truncate(length)

    def sync(self) -> None:
        self._machine.schedule.point()

    def close(self) -> None:
        """Nothing to let go of."""

