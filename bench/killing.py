"""Who kills whom in `long_run.py`: a shuffled deck of strikes, and the processes of a run by what they are.

A process is looked at again, through a descriptor of its own, before it is killed: numbers are used again.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.metrics.catalogue import Word

SHARES = {"several workers": 0.08, "all sinks' workers": 0.03, "every worker": 0.01, "the zygote": 0.012}
"""Of all strikes, each at least once; most of the others take one worker."""


def deck(strikes: int, supervisor_kills: int, rng: random.Random) -> list[str]:
    """So many strikes, in random order, but each kind spread over the whole."""
    numbers = {what: max(1, round(share * strikes)) for what, share in SHARES.items()}
    numbers["the supervisor"] = supervisor_kills
    numbers["one worker"] = max(strikes - sum(numbers.values()), 0)
    drawn = [((place + rng.random()) / n, what) for what, n in numbers.items() for place in range(n)]
    return [what for _, what in sorted(drawn)]


@dataclass(frozen=True)
class Roles:
    """The living processes of a run."""

    caller: int
    supervisor: int | None
    zygote: int | None
    workers: Mapping[int, str]
    """By process, the slot."""

    @property
    def all(self) -> list[int]:
        return [pid for pid in (self.caller, self.supervisor, self.zygote) if pid] + list(self.workers)

    def victims(self, what: str, sinks: frozenset[str], rng: random.Random) -> Sequence[int]:
        """Who is meant by a card of the deck; nobody, where none lives now."""
        workers = list(self.workers)
        match what:
            case "the supervisor":
                return [self.supervisor] if self.supervisor else []
            case "the zygote":
                return [self.zygote] if self.zygote else []
            case "every worker":
                return workers
            case "all sinks' workers":
                return [pid for pid, slot in self.workers.items() if slot in sinks]
            case "several workers":
                return rng.sample(workers, min(len(workers), rng.randint(2, 4)))
            case _:
                return rng.sample(workers, min(len(workers), 1))


def roles(caller: int, run_dir: Path, parents: Mapping[int, int]) -> Roles:
    """Who is what, by the pages of the slots and by who was started by whom."""
    workers = {}
    for path in run_dir.glob("slots/*/*.page"):
        with path.open("rb") as page:
            page.seek(8 * Word.PID)
            pid = int.from_bytes(page.read(8), sys.byteorder)
        if pid in parents:
            workers[pid] = path.parent.name.rpartition(".")[0]
    supervisor = max((pid for pid, parent in parents.items() if parent == caller), default=None)
    # Where a zygote was killed, its workers are the supervisor's, too; the new zygote is the youngest of them.
    below = [pid for pid, parent in parents.items() if parent == supervisor and pid not in workers]
    return Roles(caller, supervisor, max(below, default=None), workers)


def kill(pid: int, run_dir: Path) -> bool:
    """`kill -9` to a process of this run; False: it is gone already."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if str(run_dir).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return False
    finally:
        os.close(fd)
    return True
