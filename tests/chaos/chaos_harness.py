"""What the chaos tests share: who kills whom, a sink that tells every row it holds, and what a run may not leave."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec.structs import replace

from penstock.batch import Batch, rows_of
from penstock.engine import engine
from penstock.engine.handle import Handle
from penstock.errors import PipelineFailed
from penstock.metrics.catalogue import Word
from penstock.operator import Context
from penstock.plan.plan import Plan
from penstock.report import Report
from penstock.sink import Delivery, Sink, Writer
from penstock.source import Position

LONG_MODE_S = float(os.environ.get("PENSTOCK_CHAOS_SECONDS", "0"))
"""So many seconds for every test whose length can be chosen; 0: as short as in CI."""
GONE_WITHIN_S = 10.0
"""How long dying processes may take on a busy machine; they are waited for, not slept for."""


def seconds(in_ci: float) -> float:
    """How long a test keeps killing."""
    return LONG_MODE_S or in_ci


def for_chaos(plan: Plan, channel_bytes: int | None = None) -> Plan:
    """The plan with as many restarts as anybody can cause, and queues small enough that rings wrap around often.

    `channel_bytes` may be less than users may ask for; None: what the plan says.
    """
    stages = {
        name: replace(stage, settings=replace(stage.settings, max_restarts=(1_000_000.0, 1.0)))
        for name, stage in plan.stages.items()
    }
    edges = tuple(replace(edge, channel_bytes=channel_bytes or edge.channel_bytes) for edge in plan.edges)
    return replace(plan, stages=stages, edges=edges)


# A sink that is exact and can be read back.


@dataclass(frozen=True)
class Collected(Sink[Any]):
    """Rows as JSON lines, one file a slot; the position is the file's length."""

    folder: Path
    name: str

    @property
    def label(self) -> str:
        return self.name

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def prepare(self) -> None:
        for path in self._files():
            path.unlink()

    def writer(self, position: Position | None, context: Context) -> Writer[Any]:
        return _Appending(self.folder / f"{self.name}.{context.slot}.rows", int(position or 0))

    def rows(self) -> list[Any]:
        """All rows, slot after slot, in the order written."""
        decode = msgspec.json.Decoder().decode
        return [decode(line) for path in self._files() for line in path.read_bytes().splitlines()]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.name}.*.rows"))


class _Appending(Writer[Any]):
    def __init__(self, path: Path, length: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._fd, length)
        self._length = length

    def write(self, batch: Batch[Any]) -> None:
        data = b"".join(msgspec.json.encode(row) + b"\n" for row in rows_of(batch))
        self._length += os.pwrite(self._fd, data, self._length)

    def position(self) -> Position:
        return self._length

    def close(self) -> None:
        os.close(self._fd)


# Rows whose number nobody knows beforehand.


@dataclass(frozen=True)
class CountedUntil:
    """A source function: 0, 1, 2, ... until the file is there. Any prefix that was committed is a right answer."""

    enough: Path
    look_every: int = 256

    def __call__(self) -> Iterator[int]:
        number = 0
        while number % self.look_every or not self.enough.exists():
            yield number
            number += 1


# Who is there.


def processes_of(run_dir: Path) -> dict[int, str]:
    """Supervisor, zygote and workers of a run: all of them carry its directory in their command line."""
    mark, found = str(run_dir).encode(), {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = Path(entry.path, "cmdline").read_bytes()
            state = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # gone meanwhile
            continue
        if mark in command and state != "Z":
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")[:200]
    return found


def workers_of(run_dir: Path) -> list[int]:
    """Workers that live now, by the pages of their slots; quicker than a handle's status, as killing must be quick."""
    found = []
    for path in run_dir.glob("slots/*/*.page"):
        try:
            with path.open("rb") as page:
                page.seek(8 * Word.PID)
                found.append(int.from_bytes(page.read(8), sys.byteorder))
        except FileNotFoundError:  # the run has ended
            return []
    return sorted(set(found) - {0})


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        return []
    return found


def wait_for_exit(pids: Sequence[int]) -> None:
    """Until these are gone; at most `GONE_WITHIN_S`."""
    deadline = time.monotonic() + GONE_WITHIN_S
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([fd], [], [], max(deadline - time.monotonic(), 0.0))
        os.close(fd)


def assert_nothing_left(run_dir: Path, *, files: bool = False) -> None:
    """No process of the run, and (unless `files`, after a failed run) nothing of it in shared memory."""
    wait_for_exit(list(processes_of(run_dir)))
    assert processes_of(run_dir) == {}
    if not files:
        assert list(run_dir.parent.glob(f"*{run_dir.name}*")) == []


# Who kills.


@dataclass(frozen=True)
class Habits:
    """How a killer goes about it. Weights of what is killed each time, and the span of pauses between."""

    pause_s: tuple[float, float] = (0.01, 0.06)
    one: int = 10
    some: int = 3
    all: int = 1
    zygote: int = 0
    supervisor: int = 0


@dataclass
class Killer:
    """Kills processes of a run from a thread of its own, for `for_s` seconds or until left; a context manager."""

    handle: Handle
    habits: Habits
    rng: random.Random
    for_s: float
    then: Callable[[], bool | None] = lambda: None
    """Called when the time is over; False: not enough yet, and it continues."""
    kills: int = 0
    by_target: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        until = time.monotonic() + self.for_s
        while not self._stop.wait(self.rng.uniform(*self.habits.pause_s)):
            if time.monotonic() >= until and self.then() is not False:
                return
            self._strike()

    def _strike(self) -> None:
        habits = self.habits
        weights = {
            "one": habits.one, "some": habits.some, "all": habits.all, "zygote": habits.zygote,
            "supervisor": habits.supervisor,
        }
        what = self.rng.choices(list(weights), list(weights.values()))[0]
        for pid in self._victims(what):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.kills += 1
            self.by_target[what] = self.by_target.get(what, 0) + 1

    def _victims(self, what: str) -> list[int]:
        supervisor = self.handle.supervisor_pid
        if what == "supervisor":
            self._stop.set()
            return [supervisor]
        workers = workers_of(self.handle.run_dir)
        if what == "zygote":
            return [pid for pid in children_of(supervisor) if pid not in workers][:1]
        if not workers:
            return []
        number = {"one": 1, "some": self.rng.randint(2, 4), "all": len(workers)}[what]
        return self.rng.sample(workers, min(number, len(workers)))


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it was going
        os.kill(pid, signal.SIGKILL)


def failed(handle: Handle) -> None:
    with suppress(PipelineFailed):
        handle.wait(timeout="240s")


def lose_the_machine(handle: Handle) -> None:
    """All processes and all of the run directory are gone; disks stay."""
    gone = {handle.supervisor_pid, *children_of(handle.supervisor_pid), *processes_of(handle.run_dir)}
    kill(handle.supervisor_pid)
    for pid in gone:
        kill(pid)
    wait_for_exit(sorted(gone))
    failed(handle)
    shutil.rmtree(handle.run_dir, ignore_errors=True)


# A run with all of it.


@dataclass(frozen=True)
class Survived:
    """A run that got to its end."""

    report: Report
    kills: int
    supervisors: int
    """Supervisors that were killed on the way."""
    run_dir: Path


def survive(
    plan: Plan, *, habits: Habits, rng: random.Random, for_s: float, state_dir: Path, enough: Path | None = None,
    least: int = 0,
) -> Survived:
    """Run a plan to its end while somebody kills; where the supervisor is killed, run again: it takes over.

    `enough` is the file that ends `CountedUntil`; it is made when the killing is over. On a busy machine starting again
    takes most of the time: after a supervisor's death the killing continues until there were `least` kills.
    """
    until = 0.0
    kills = supervisors = 0

    def make_enough() -> None:
        if enough is not None:
            enough.touch()

    fresh = True
    while True:
        handle = engine.start(plan, fresh=fresh, state_dir=state_dir)
        if fresh:  # a busy machine may take as long to start it as it shall be killed at
            until = time.monotonic() + for_s
        elif kills < least:
            until = max(until, time.monotonic() + 1.0)
        fresh = False
        left_s = until - time.monotonic()
        if left_s <= 0:
            make_enough()
        calm = habits if left_s > 0 else Habits(one=0, some=0, all=1, pause_s=(3600.0, 3600.0))
        with Killer(handle, calm, rng, max(left_s, 0.0), make_enough) as killer:
            try:
                report = handle.wait(timeout="60s")
            except PipelineFailed as failed:
                if failed.stage != "supervisor":
                    raise
                supervisors += 1
                report = None
            except TimeoutError:
                raise AssertionError(f"it hangs: {handle.status().to_json()}") from None
        kills += killer.kills
        assert_nothing_left(handle.run_dir, files=report is None)
        if report is not None:
            return Survived(report, kills, supervisors, handle.run_dir)
