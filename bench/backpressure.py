"""A sink a hundred times slower than its source: does memory stay where it is, and does every row arrive?

    python bench/backpressure.py [--seconds 60 | --short] [--plot docs/images/backpressure.svg]

`backpressure_pipelines.py` is what runs: penstock with default settings, and beside it processes joined by
`multiprocessing.Queue`s without a limit. Memory is that of all processes (proportional set size) plus the run
directory; queues that are mapped count once, as files. The **budget** is what the plan reserves for its edges, plus
what the same pipeline takes while it idles, its first rows behind it: processes, journals, pages.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
import plots
from backpressure_pipelines import SINK_ROW_S, SOURCE_PER_S

from penstock.metrics.rates import compute
from penstock.metrics.snapshot import take_snapshot

MIB = 1024 * 1024
SAMPLE_S = 0.5
IDLE_S = 2.0
"""So long the pipeline idles, its first rows behind it."""
TOLERANCE = 1.1
MOST_BYTES = 3 * 1024 * MIB
"""Here the pipeline without a limit is stopped."""


@dataclass
class Watched:
    """A pipeline that runs, and what it took."""

    kind: str
    folder: Path
    process: subprocess.Popen[str]
    told: dict[str, Any]
    samples: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the first row, and bytes."""
    began: float = 0.0

    def bytes_now(self) -> int:
        total = measure.private_bytes(measure.family(self.process.pid))
        run_dir = self.told.get("run_dir")
        return total + (measure.directory_bytes(Path(run_dir)) if run_dir else 0)

    def sample_for(self, seconds: float) -> bool:
        """False: it has taken too much."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            taken = self.bytes_now()
            self.samples.append((time.monotonic() - self.began, taken))
            if taken > MOST_BYTES:
                return False
            time.sleep(SAMPLE_S)
        return True

    def say(self, word: str) -> None:
        (self.folder / word).touch()

    def arrived(self) -> dict[str, int]:
        """What the sink has been given."""
        found: dict[str, int] = json.loads((self.folder / "arrived").read_text())
        return found

    @property
    def most(self) -> float:
        return max(taken for _, taken in self.samples)


@contextmanager
def started(kind: str) -> Iterator[Watched]:
    """A pipeline that stands ready; nothing of it is left afterwards."""
    program = measure.HERE / "backpressure_pipelines.py"
    with tempfile.TemporaryDirectory(prefix="penstock-backpressure-") as name:
        command = [sys.executable, str(program), kind, name]
        process = subprocess.Popen(command, cwd=name, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            assert process.stdout is not None
            word, _, told = process.stdout.readline().partition(" ")
            if word != "RUNS":
                raise measure.RunFailed(f"{kind} did not start")
            yield Watched(kind, Path(name), process, json.loads(told))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True)
class Outcome:
    """What is told of a pipeline."""

    samples: list[tuple[float, float]]
    idle: float
    most: float
    after_s: float
    """How long it ran before its source was told to end, or it was stopped."""
    taken: int
    """Rows that the sink took in that time."""
    sent: int
    lost: int | None
    """None: it was stopped with its rows."""
    queues: float = 0.0
    """Bytes that the plan reserves for its edges."""


def measure_penstock(seconds: float) -> Outcome:
    with started("penstock") as run:
        idle, after_s = _load(run, seconds)
        most, taken = run.most, _taken_by(run)
        run.say("enough")
        run.say("release")
        assert run.process.stdout is not None
        rest = run.process.stdout.read()
        sent = json.loads(rest.partition("RESULT ")[2])["sent"]
        arrived = run.arrived()
        lost = sent - arrived["rows"] + arrived["misplaced"]
        return Outcome(run.samples, idle, most, after_s, taken, sent, lost, run.told["queues"])


def measure_queues(seconds: float) -> Outcome:
    with started("queues") as run:
        idle, after_s = _load(run, seconds)
        sent = int((run.folder / "sent").read_text())
        return Outcome(run.samples, idle, run.most, after_s, run.arrived()["rows"], sent, None)


def _load(run: Watched, seconds: float) -> tuple[float, float]:
    """Bytes while it stood ready; the seconds for which its source then gave rows."""
    run.began = time.monotonic()
    run.sample_for(IDLE_S)
    idle = statistics.median(taken for _, taken in run.samples)
    run.samples = []
    run.say("go")
    run.began = time.monotonic()
    run.sample_for(seconds)
    return idle, time.monotonic() - run.began


def _taken_by(run: Watched) -> int:
    return compute(None, take_snapshot(Path(run.told["run_dir"]))).stages["slow"].rows_in


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--short", action="store_true", help="5 seconds each")
    parser.add_argument("--plot", type=Path, help="an SVG file")
    asked = parser.parse_args()
    seconds = 5.0 if asked.short else asked.seconds
    ours, theirs = measure_penstock(seconds), measure_queues(seconds)
    budget = ours.idle
    kept = ours.most <= budget * TOLERANCE and ours.lost == 0
    print(measure.table(
        ["", "penstock", "multiprocessing.Queue"],
        [
            ("source offers, rows/s", f"{SOURCE_PER_S:,}", f"{SOURCE_PER_S:,}"),
            ("source gave, rows/s", *(f"{run.sent / run.after_s:,.0f}" for run in (ours, theirs))),
            ("sink took, rows/s", *(f"{run.taken / run.after_s:,.0f}" for run in (ours, theirs))),
            ("memory while idle, MiB", *(f"{run.idle / MIB:,.1f}" for run in (ours, theirs))),
            ("of that reserved for edges, MiB", f"{ours.queues / MIB:,.1f}", "0.0"),
            ("most memory, MiB", *(f"{run.most / MIB:,.1f}" for run in (ours, theirs))),
            ("against the budget", f"{ours.most / budget:.1%}", "n/a"),
            ("stopped after, s", *(f"{run.after_s:,.0f}" for run in (ours, theirs))),
            ("rows still on their way then", *(f"{run.sent - run.taken:,}" for run in (ours, theirs))),
            ("minutes to work those off", *(f"{(run.sent - run.taken) * run.after_s / run.taken / 60:,.1f}"
                                             for run in (ours, theirs))),
            ("rows lost", ours.lost, "stopped with them"),
        ],
    ))
    print(f"\nThe sink takes {SINK_ROW_S * 1e3:g} ms a row. {measure.machine()}.")
    print(f"Budget {budget / MIB:,.1f} MiB: {'kept' if kept else 'NOT KEPT'} within {TOLERANCE - 1:.0%}.")
    if asked.plot:
        plots.write(asked.plot, list(_panels(ours, theirs)))
    return 0 if kept else 1


def _panels(ours: Outcome, theirs: Outcome) -> Iterator[plots.Panel]:
    def line(run: Outcome) -> list[tuple[float, float]]:
        return [(at, taken / MIB) for at, taken in run.samples ]

    both = {"multiprocessing.Queue": line(theirs), "penstock": line(ours)}
    yield plots.Panel("Memory of both, MiB", both)
    rule = ("budget + 10 %", ours.idle * TOLERANCE / MIB)
    yield plots.Panel("The same, near the budget, MiB", both, ceiling=ours.idle * TOLERANCE * 1.2 / MIB, rule=rule)


if __name__ == "__main__":
    sys.exit(main())
