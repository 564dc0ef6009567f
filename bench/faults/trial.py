"""One trial of the kill matrix: start a flow, let the fault happen, watch the sink, count what came out."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from faults.systems import System
from faults.trouble import FROM_OUTSIDE, MEMORY_BYTES, WHOLE_RUN, Orders

HERE = Path(__file__).resolve().parent
HUNG_S = 30.0
ORPHANS_S = 3.0
"""A main process is gone: so long after the last row what is left of its family counts as doing nothing."""
START_S = 90.0
LOOK_S = 0.005
_MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


class NoFault(Exception):
    """The flow ended, or took too long, before its fault: nothing was tried."""


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    system: str
    fault: str
    place: str
    lost: int
    """Rows that the sink lacks, apart from those of a bad record that had to be set aside."""
    twice: int
    set_aside: int
    """Rows of the bad record that the sink lacks."""
    still_s: float
    """The longest time after the fault in which nothing reached the sink; of a main process, after the second start."""
    named: bool
    """The bad record's number stands in the dead letters or in what was printed."""
    end: str
    """`finished`, `hung`, or how it died."""
    faults: int
    """How often it happened from within: how often the bad record was tried."""
    second: str
    """How a second run ended, with the bad code fixed, on what the first one left; the counts are those after it.
    Empty: there was none."""
    left: int = 0
    """Processes that were left when its main process was gone, or that hung."""


def run_trial(system: System, python: Path, fault: str, place: str, rows: int) -> Trial:
    """One trial, in a folder of its own, with nothing left behind."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name, memory_group(fault) as group:
        orders = Orders(Path(name), fault, place, rows, group)
        try:
            return _Run(system, python, orders).trial()
        finally:
            kill_family(orders.folder)


@contextmanager
def memory_group(fault: str) -> Iterator[str]:
    """A cgroup with little memory, where this process may make one; what died in it has left it."""
    if fault != "memory" or not os.access(_MEMORY_GROUPS, os.W_OK):
        yield ""
        return
    group = _MEMORY_GROUPS / f"penstock-bench-{os.getpid()}-{random.getrandbits(32):x}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(MEMORY_BYTES))
    try:
        yield str(group)
    finally:
        with contextlib.suppress(OSError):  # the last process is still being taken down: an empty folder stays
            group.rmdir()


class _Run:
    def __init__(self, system: System, python: Path, orders: Orders) -> None:
        self._system, self._python, self._orders = system, python, orders
        self._folder = orders.folder
        self._grown_at = 0.0
        self._size = 0
        self._still_s = 0.0

    def trial(self) -> Trial:
        process = self._start(self._orders)
        fault_at = self._wait_for_fault(process)
        end = self._watch(process, fault_at)
        first = self._judged(end)
        kill_family(self._folder)
        if not self._system.again or end == "finished":
            return first
        second = self._second_run()
        after = self._judged(end)
        still_s = after.still_s if first.fault in WHOLE_RUN else first.still_s
        return replace(
            first, lost=after.lost, twice=after.twice, set_aside=after.set_aside, still_s=still_s, second=second
        )

    def _start(self, orders: Orders) -> subprocess.Popen[bytes]:
        with (self._folder / "printed").open("ab") as printed:
            return subprocess.Popen(
                [self._python, HERE / self._system.flow],
                env={
                    **os.environ, **orders.environment(), "PYTHONUNBUFFERED": "1", "RAY_USAGE_STATS_ENABLED": "0",
                    "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
                },
                stdout=printed, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                cwd=self._folder,
            )

    def _wait_for_fault(self, process: subprocess.Popen[bytes]) -> float:
        """When it happened; where it comes from outside, it is done here, once a quarter of the rows is through."""
        limit = time.monotonic() + START_S
        outside = self._orders.fault in FROM_OUTSIDE
        while time.monotonic() < limit and process.poll() is None:
            time.sleep(LOOK_S)
            self._look()
            if outside and self._size and len(self._values()) >= self._orders.rows // 2:
                time.sleep(random.uniform(0.0, 0.1))
                return self._shoot(process.pid)
            if not outside and (told := self._happenings()):
                return told[0]
        raise NoFault(f"the fault never came: {self._orders}, {self._printed()[-2000:]}")

    def _happenings(self) -> list[float]:
        """When the fault happened, as told from within."""
        path = self._folder / "fault"
        return [float(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []

    def _shoot(self, main: int) -> float:
        if self._orders.fault == "main killed":
            victim = main  # what the user started, in every column
        elif self._orders.fault == "supervisor killed":
            victim = int((self._folder / "supervisor").read_text())
        else:
            marks = self._folder.glob(f"worker-{self._orders.place}-*")
            victim = random.choice([pid for pid in (int(p.name.rpartition("-")[2]) for p in marks) if alive(pid)])
        os.kill(victim, signal.SIGKILL)
        return time.monotonic()

    def _watch(self, process: subprocess.Popen[bytes], fault_at: float) -> str:
        """Until it ends, or nothing has reached the sink for so long that it counts as hung."""
        self._grown_at, self._still_s = max(fault_at, self._grown_at), 0.0
        while (code := process.poll()) is None:
            time.sleep(LOOK_S)
            self._look()
            if time.monotonic() - self._grown_at > HUNG_S:
                return "hung"
        self._watch_orphans()
        return _ending(code)

    def _watch_orphans(self) -> None:
        """Children of a dead main process may still run."""
        while family(self._folder) and time.monotonic() - self._grown_at < ORPHANS_S:
            time.sleep(LOOK_S * 10)
            self._look()
        self._look()

    def _look(self) -> None:
        size = sum(path.stat().st_size for path in self._sinks())
        if size != self._size:
            now = time.monotonic()
            if self._grown_at:
                self._still_s = max(self._still_s, now - self._grown_at)
            self._size, self._grown_at = size, now

    def _sinks(self) -> list[Path]:
        return [*self._folder.glob("sink-*.txt"), *self._folder.glob("out.jsonl")]

    def _values(self) -> list[int]:
        """What whole lines of the sink's files say."""
        texts = (path.read_bytes().rpartition(b"\n")[0] for path in self._sinks())
        return [int(line) for text in texts for line in text.split()]

    def _judged(self, end: str) -> Trial:
        seen = Counter(self._values())
        lacking = set(range(2 * self._orders.rows)) - set(seen)
        orders = self._orders
        return Trial(
            self._system.name, orders.fault, orders.place, len(lacking - orders.bad_values),
            sum(seen.values()) - len(seen), len(lacking & orders.bad_values), round(self._still_s, 3), self._named(),
            end, len(self._happenings()), "", len(family(self._folder)),
        )

    def _named(self) -> bool:
        bad = 2 * self._orders.bad if self._orders.place == "sink" else self._orders.bad
        letters = b"".join(path.read_bytes() for path in self._folder.glob("state/dead-letters/*/*/*"))
        return f"record {bad} is bad" in self._printed() or (bool(letters) and self._letter_of(bad))

    def _letter_of(self, bad: int) -> bool:
        """Asks the command that users ask."""
        command = [self._python, "-m", "penstock", "dead-letters", "export", "kill-matrix", "--state-dir"]
        told = subprocess.run([*command, self._folder / "state"], capture_output=True, text=True, check=True).stdout
        letters = [json.loads(line) for line in told.splitlines()]
        return [(letter["stage"], letter["row"]) for letter in letters] == [(self._orders.place, bad)]

    def _printed(self) -> str:
        return (self._folder / "printed").read_text(errors="replace")

    def _second_run(self) -> str:
        """With the bad code fixed, on what the first run left."""
        process = self._start(replace(self._orders, fault="none"))
        ended = self._watch(process, time.monotonic())
        kill_family(self._folder)
        return ended


def _ending(code: int) -> str:
    if code == 0:
        return "finished"
    return f"died ({signal.Signals(-code).name})" if code < 0 else f"failed (exit {code})"


def kill_family(folder: Path) -> None:
    """SIGKILL to all that belongs to a trial."""
    while found := family(folder):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def family(folder: Path) -> list[int]:
    """Who belongs to a trial and lives, whoever its parent is now: its folder stands in their environment."""
    mark = f"BENCH_FOLDER={folder}\0".encode()
    return [pid for pid in _pids() if mark in _environment(pid) and alive(pid)]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone meanwhile
        return b""


def alive(pid: int) -> bool:
    """True: it is there, and not only as a name."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
