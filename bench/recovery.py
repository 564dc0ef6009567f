"""How soon a killed worker has a successor that works, and what a kill every second costs.

    python bench/recovery.py            # all three tables, about five minutes
    python bench/recovery.py --short    # the first one with few kills, and one pair of the third: under 20 s
    python bench/recovery.py kills large throughput     # those named

JSON lines are read and parsed into structs, normalised, scored, and written as JSON lines: four stages of one worker
each (`faults/load.py`). What is timed is looked at from outside: a worker's page (`penstock.metrics`) has its process
and the time of its last commit, and its pidfd tells when the kernel is done with it. Every run's output is checked.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import select
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults import load
from measure import machine, quiet, table

from penstock.engine.handle import Handle
from penstock.mapped_file import by_mapping
from penstock.metrics.catalogue import Activity, Word
from penstock.metrics.page import Page

LOOK_S = 0.0002
GIVEN_UP_S = 20.0
MS = 1e-6
"""Milliseconds in a nanosecond."""
ENDLESS = 1000
"""Copies of the input: more than is read before the run is drained."""


@dataclass(frozen=True)
class Recovery:
    """One kill, in milliseconds after it."""

    gone: float
    """The kernel has taken the process down: its memory is free, its slot's lock too."""
    born: float
    """The supervisor knows the successor's process."""
    opened: float
    """The successor has opened what is the user's, and begins to work."""
    committed: float
    """Its first commit."""


class Slot:
    """A slot, watched through its page."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._page = Page(path, by_mapping, writable=False)

    def __getitem__(self, word: int) -> int:
        return self._page.words[word]

    def working(self) -> bool:
        return self[Word.PID] != 0 and self[Word.ACTIVITY] in (Activity.BUSY, Activity.WAITING_FOR_OUTPUT)

    def kill(self) -> Recovery:
        """SIGKILL to its worker; what follows."""
        pid = self[Word.PID]
        pidfd = os.pidfd_open(pid)
        gone = select.poll()
        gone.register(pidfd, select.POLLIN)
        began = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        gone.poll()
        gone_ns = time.monotonic_ns()
        os.close(pidfd)
        born_ns = self._when(lambda: self[Word.PID] not in (0, pid))
        opened_ns = self._when(lambda: self[Word.ACTIVITY] > Activity.STARTING)
        self._when(lambda: self[Word.LAST_PROGRESS_NS] > gone_ns)
        return Recovery(*((at - began) * MS for at in (gone_ns, born_ns, opened_ns, self[Word.LAST_PROGRESS_NS])))

    def _when(self, happened: Callable[[], bool]) -> int:
        limit = time.monotonic() + GIVEN_UP_S
        while not happened():
            if time.monotonic() > limit:
                raise TimeoutError(f"{self.name}: no successor at work within {GIVEN_UP_S:g} s")
            time.sleep(LOOK_S)
        return time.monotonic_ns()


@contextmanager
def running(folder: Path, ballast_mib: int = 0) -> Iterator[tuple[Handle, list[Slot]]]:
    """A pipeline without an end, under load; drained and its output checked in the end."""
    app = load.pipeline(folder, ENDLESS, ballast_mib=ballast_mib)
    with app.start(fresh=True, state_dir=folder / "state") as handle:
        handle.wait_until_running()
        slots = [Slot(path) for path in sorted(handle.run_dir.glob("slots/*/*.page"))]
        for slot in slots:
            wait_for(lambda slot=slot: slot[Word.COMMITS] > 3)  # type: ignore[misc]
        yield handle, slots
        handle.drain()
    load.check_prefix(folder)


def wait_for(happened: Callable[[], bool], limit_s: float = 60.0) -> None:
    limit = time.monotonic() + limit_s
    while not happened():
        if time.monotonic() > limit:
            raise TimeoutError("the pipeline does not get going")
        time.sleep(0.001)


def kills(folder: Path, count: int) -> list[list[object]]:
    """Kill small workers one after the other, each stage as often as the others."""
    with running(folder) as (_, slots):
        found: dict[str, list[Recovery]] = {slot.name: [] for slot in slots}
        for number in range(count):
            slot = slots[number % len(slots)]
            time.sleep(random.uniform(0.1, 0.2))
            wait_for(slot.working)
            found[slot.name].append(slot.kill())
    everything = [recovery for recoveries in found.values() for recovery in recoveries]
    return [*(_row(name, some) for name, some in found.items()), _row("all", everything)]


def large(folder: Path, mib: int, count: int) -> list[object]:
    """Kill the worker of a stage whose `open` fills so much memory."""
    with running(folder, mib) as (_, slots):
        slot = next(slot for slot in slots if slot.name == "score")
        recoveries = []
        for _ in range(count):
            wait_for(slot.working)
            time.sleep(random.uniform(0.1, 0.2))
            recoveries.append(slot.kill())
    return _row(f"score, {mib / 1024:g} GiB", recoveries)


def _row(name: str, recoveries: list[Recovery]) -> list[object]:
    whole = sorted(recovery.committed for recovery in recoveries)
    parts = [
        [r.gone for r in recoveries], [r.born - r.gone for r in recoveries],
        [r.opened - r.born for r in recoveries], [r.committed - r.opened for r in recoveries],
    ]
    return [
        name, len(recoveries), *(f"{at(whole, q):.1f}" for q in (0.5, 0.9, 0.99, 1.0)),
        *(f"{statistics.median(part):.1f}" for part in parts),
    ]


def at(ordered: list[float], share: float) -> float:
    """The smallest value that so great a share does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


HEAD = ["worker of", "kills", "median", "p90", "p99", "most", "gone", "born", "opened", "commit"]


def throughput(folder: Path, rounds: int, copies: int) -> list[list[object]]:
    """The same bounded run undisturbed and with a kill every second, in turns."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    deaths = []
    for _ in range(rounds):
        for disturbed in rates:
            quiet(10.0)
            seconds, killed = one_run(folder, copies, disturbed)
            rates[disturbed].append(copies * load.ROWS / seconds)
            deaths += [killed] if disturbed else []
    ratios = [hurt / well for well, hurt in zip(rates[False], rates[True], strict=True)]
    return [
        ["undisturbed", f"{statistics.median(rates[False]):,.0f}", 0, "1.00"],
        ["a kill every second", f"{statistics.median(rates[True]):,.0f}", statistics.median(deaths),
         f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"],
    ]


def one_run(folder: Path, copies: int, disturbed: bool) -> tuple[float, int]:
    """Seconds of a run to its end, and how many workers were killed in it."""
    app = load.pipeline(folder, copies)
    killed = 0
    with app.start(fresh=True, state_dir=folder / "state") as handle:
        while not handle.over:
            time.sleep(1.0)
            pids = handle.worker_pids() if disturbed else []
            if pids:
                killed += kill(random.choice(pids))
        report = handle.wait()
    assert report.outcome == "finished", report
    load.check_all(folder, copies)
    return report.duration_s, killed


def kill(pid: int) -> int:
    """One, or none where it has just ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["kills", "large", "throughput"])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--kills", type=int, default=200)
    asked = parser.parse_args()
    short = asked.short
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        load.make_input(folder)
        if "kills" in asked.what:
            print("\nFrom kill -9 to the successor's first commit, in ms; behind it the medians of its parts\n")
            print(table(HEAD, kills(folder, 20 if short else asked.kills)), flush=True)
        if "large" in asked.what and not short:
            print("\nThe same with large workers: `gone` is the kernel's clean-up, `opened` fills the memory again\n")
            print(table(HEAD, [large(folder, mib, 10) for mib in (1024, 2048)]), flush=True)
        if "throughput" in asked.what:
            print("\nThroughput with a kill every second\n")
            rows = throughput(folder, 1 if short else 5, 4 if short else load.COPIES)
            print(table(["run", "rows/s", "kills", "against undisturbed"], rows), flush=True)
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
