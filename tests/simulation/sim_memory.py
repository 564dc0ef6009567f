"""Shared files and bells of the simulated machine: every load and store is a point at which others may come in.

A store may be seen by others later than by the process itself, in order, as x86-64 has it; a fence and every system
call show what was stored. A copy into a file may be cut in two by a kill.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim_schedule import Process, Schedule

from penstock.channel.bell import Bell, Sleep
from penstock.shared_file import Opening, SharedFile
from penstock.slot.loop import SAFETY_POLL_S


class Words:
    """The words of a shared file."""

    __slots__ = ("_schedule", "_stored", "_words")

    def __init__(self, schedule: Schedule, words: memoryview, stored: Callable[[int, int], None] | None) -> None:
        """`stored`: called with index and value of each store."""
        self._schedule = schedule
        self._words = words
        self._stored = stored

    def __getitem__(self, index: Any) -> Any:
        schedule = self._schedule
        schedule.point()
        process = schedule.current
        if process is not None and process.own:
            if isinstance(index, slice):
                process.show_stores()
            else:
                own = process.own.get((id(self._words), index))
                if own is not None:
                    return own
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        schedule = self._schedule
        schedule.point()
        process = schedule.current
        if process is not None and schedule.hidden_stores and process.maps:
            process.pending.append((self._words, index, value))
            process.own[id(self._words), index] = value
        else:
            self._words[index] = value
        if self._stored is not None:
            self._stored(index, value)

    def release(self) -> None:
        """The words live as long as the machine."""


class Bytes:
    """The bytes of a shared file."""

    __slots__ = ("_data", "_schedule")

    def __init__(self, schedule: Schedule, data: memoryview) -> None:
        self._schedule = schedule
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        schedule = self._schedule
        schedule.point()
        if schedule.current is not None:
            schedule.current.show_stores()
        return bytes(self._data[index]) if isinstance(index, slice) else self._data[index]

    def __setitem__(self, index: slice, data: bytes) -> None:
        start, stop, _ = index.indices(len(self._data))
        if stop - start > 8:  # a kill may come in between
            half = (start + stop) // 2
            self._store(slice(start, half), data[: half - start])
            start, data = half, data[half - start :]
        self._store(slice(start, stop), data)

    def _store(self, where: slice, data: bytes) -> None:
        schedule = self._schedule
        schedule.point()
        process = schedule.current
        if process is not None and schedule.hidden_stores and process.maps:
            process.pending.append((self._data, where, bytes(data)))
        else:
            self._data[where] = data

    def release(self) -> None:
        """The bytes live as long as the machine."""


class _Nothing:
    def close(self) -> None:
        """There is nothing behind it."""


class SimulatedFile(SharedFile):
    """A shared file whose accesses are points."""

    def __init__(
        self, schedule: Schedule, there: SharedFile, stored: Callable[[int, int], None] | None = None
    ) -> None:
        words: Any = Words(schedule, there.words, stored)  # type: ignore[arg-type]
        data: Any = Bytes(schedule, there.data)  # type: ignore[arg-type]
        super().__init__(words, data, _Nothing())  # type: ignore[arg-type]


class Bells:
    """The bells of the machine: who was rung, and who sleeps on which."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.rung: set[Path] = set()
        self.owners: dict[Path, Process] = {}

    def ring(self, path: Path) -> None:
        """A system call: it shows what was stored, and may come between two others."""
        self.schedule.point()
        self.schedule.fence()
        self.rung.add(path)
        self.schedule.ring(self.owners.get(path))


class SimulatedBell(Bell):
    """One end of a bell."""

    def __init__(self, path: Path, opening: Opening, bells: Bells) -> None:
        super().__init__(path, opening)
        self.path = path
        self.bells = bells

    def ring(self) -> None:
        self.bells.ring(self.path)

    def drain(self) -> None:
        self.bells.schedule.point()
        self.bells.schedule.fence()
        self.bells.rung.discard(self.path)

    def fence(self) -> None:
        self.bells.schedule.fence()


class SimulatedRinger:
    """The end of a bell for those who ring always."""

    def __init__(self, path: Path, bells: Bells) -> None:
        self._path = path
        self._bells = bells

    def ring(self) -> None:
        self._bells.ring(self._path)

    def close(self) -> None:
        """Nothing to let go of."""


class SimulatedWaiter:
    """What a slot waits on."""

    def __init__(self, bell: SimulatedBell, half_empty: Callable[[Path], bool]) -> None:
        """`half_empty`: whether all queues are that the slot with this bell sends to."""
        self._bell = bell
        self._half_empty = half_empty

    def watch(self, fds: set[int]) -> None:
        assert not fds, "nothing in a simulation has descriptors"

    def wait(self, timeout_s: float) -> set[int]:
        bell, bells = self._bell, self._bell.bells
        schedule = bells.schedule
        schedule.point()
        if bell.path not in bells.rung and schedule.current is not None:
            bells.owners[bell.path] = schedule.current
            asleep = bell.asleep
            if bell.path not in bells.rung:  # rung while it looked
                misses = self._misses(asleep) if timeout_s >= SAFETY_POLL_S else None
                schedule.wait(timeout_s, ringable=True, misses=misses)
        return set()

    def _misses(self, asleep: int) -> Callable[[], bool] | None:
        """What the sleeper has asked last, as `slot/sleeping.py` and `slot/output/backpressure.py` call it.

        Who waits for room is rung once half of the queue is free.
        """
        asked: Any = sys._getframe(2).f_locals
        if asleep & Sleep.FOR_INPUT:
            has_work: Callable[[], bool] | None = asked.get("has_work")
            return has_work
        has_room = asked.get("has_room")
        if has_room is None:
            return None
        return lambda: has_room() and self._half_empty(self._bell.path)


