"""What births and deaths need of the machine around them: time, chance, pages, and workers as processes.

A `Machine` is the machine itself where nothing else is said. A simulation gives one of its own, in which workers are
steps of one program.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from penstock.plan.paths import SlotPaths
from penstock.shared_file import Opening, by_calls
from penstock.slot.process.failure_file import read_failure
from penstock.slot.records.life import FailureNote
from penstock.slot.time_and_chance import MACHINE, Clock
from penstock.supervisor.memory_kills import MemoryKills
from penstock.supervisor.output_relay import OutputPipes
from penstock.supervisor.protocol import Spawn
from penstock.supervisor.worker_process import WorkerProcess


class Zygote(Protocol):
    """Who gives birth to workers, as births and deaths need it."""

    closed: bool
    """True: it is gone, and reports no more deaths."""

    def send(self, order: Spawn) -> None:
        """Order a birth."""
        ...

    def kill(self) -> None:
        """End it: another one follows."""
        ...


class Machine(msgspec.Struct, frozen=True):
    """All of it, for one supervisor."""

    selector: selectors.BaseSelector
    """Where it waits."""
    clock: Clock = MACHINE
    opening: Opening = by_calls
    """How pages and journals of slots are opened."""
    worker: Callable[[int, int, float], WorkerProcess] = WorkerProcess
    """Makes the handle of a worker from its pid, its pidfd and the time of its birth."""
    pipes: Callable[[SlotPaths, str], OutputPipes] = OutputPipes
    """Opens what the worker of a slot prints to; the text is the slot's label."""
    failure: Callable[[Path], FailureNote] = read_failure
    """Reads the note of a worker that gave up. Raises `QueueDamaged` if there is none."""
    memory_kills: Callable[[], MemoryKills] = MemoryKills
    """Counts what the kernel kills for want of memory."""

