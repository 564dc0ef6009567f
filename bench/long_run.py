"""Half an hour of bursts while somebody kills every two seconds: is every sink exact, and does anything grow?

    python bench/long_run.py [--minutes 30 | --short] [--plot docs/images/long_run.svg] [--samples samples.jsonl]

`long_run_pipeline.py` is what runs, in a process of its own; `killing.py` kills; `long_run_check.py` looks at each row
that came out; `trend.py` says what is flat. Needs the extras `arrow` and `duckdb`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import killing
import long_run_check
import measure
import plots
from long_run_pipeline import BURST_S, BURSTS, SPAN_S, VISITS, LongRun
from trend import NO_LIMIT, Limit, Point, Trend, trend

from penstock.metrics.rates import compute
from penstock.metrics.snapshot import RunGone, Snapshot, take_snapshot

MIB = 1024 * 1024
SAMPLE_S = 1.0
KILL_S = 2.0
"""Between two strikes, on average."""
BURST_LASTS_S = 1.5
"""Until the rows of a burst have come through, about."""
# `upsert` shares the worker of `table`: its restarts are those of `table`.
SINKS = frozenset({"priced", "csv", "table", "noted", "upsert", "seen", "parquet"})
LIMIT_S = 120.0
"""What is in flight when the sources have ended must be through by then."""
STALL_S = 10.0
"""No sink may stand still for longer while the sources give rows."""


@dataclass(frozen=True)
class Line:
    """One thing that is sampled: how it is shown, and what counts as flat; None: it is the killer's doing."""

    name: str
    unit: str
    limit: Limit | None
    life: str = "supervisor"
    """Whose life ends a stretch that can be compared; `caller`: nobody's."""


LINES = {
    "memory": Line("memory and run directory, all", "MiB", Limit(0.05, 5.0), "caller"),
    "workers_memory": Line("memory, workers", "MiB", Limit(0.05, 5.0), "caller"),
    "supervisor_heap": Line("heap, supervisor", "MiB", Limit(0.05, 0.25)),
    "zygote_heap": Line("heap, zygote", "MiB", Limit(0.05, 0.25), "zygote"),
    "caller_heap": Line("heap, caller", "MiB", Limit(0.05, 0.25), "caller"),
    "run_directory": Line("run directory", "MiB", Limit(0.01, 0.25), "caller"),
    "supervisor_files": Line("descriptors, supervisor", "", Limit(0.0, 0.5)),
    "zygote_files": Line("descriptors, zygote", "", Limit(0.0, 0.5), "zygote"),
    "workers_files": Line("descriptors, workers", "", Limit(0.02), "caller"),
    "caller_files": Line("descriptors, caller", "", Limit(0.0, 0.5), "caller"),
    "p50": Line("latency p50", "ms", Limit(0.5, 5.0), "caller"),
    "p99": Line("latency p99", "ms", Limit(0.5, 50.0), "caller"),
    "rows_per_s": Line("rows/s into sinks", "", Limit(0.03, falls=True), "caller"),
    "restarts_per_min": Line("restarts per minute", "", None, "caller"),
}


@dataclass
class Watch:
    """Looks once a second at a run: memory, descriptors, what its status says."""

    caller: int
    run_dir: Path
    began: float = field(default_factory=time.monotonic)
    samples: list[dict[str, Any]] = field(default_factory=list)
    last: Snapshot | None = None

    def roles(self) -> killing.Roles:
        return killing.roles(self.caller, self.run_dir, measure.family_tree(self.caller))

    def look(self) -> None:
        """Take a sample. One that the end of the run cuts off is left out."""
        roles = self.roles()
        try:
            now = take_snapshot(self.run_dir)
        except RunGone:
            return
        status, self.last = compute(self.last, now), now
        sample: dict[str, Any] = {
            "at_s": round(time.monotonic() - self.began, 2),
            "run_directory": measure.directory_bytes(self.run_dir) / MIB,
            "p50": status.end_to_end_p50_s * 1e3,
            "p99": status.end_to_end_p99_s * 1e3,
            "rows": {name: stage.rows_in for name, stage in status.stages.items()},
            "restarts": sum(stage.restarts for name, stage in status.stages.items() if name != "upsert"),
            "queued": sum(edge.queued_bytes for edge in status.edges.values()) / MIB,
            "workers": len(roles.workers),
            "lives": {"caller": 0, "supervisor": roles.supervisor, "zygote": roles.zygote},
        }
        for name, pids in (
            ("caller", [roles.caller]), ("supervisor", [roles.supervisor]), ("zygote", [roles.zygote]),
            ("workers", list(roles.workers)),
        ):
            living = [pid for pid in pids if pid]
            sample[f"{name}_memory"] = measure.private_bytes(living) / MIB
            sample[f"{name}_heap"] = measure.heap_bytes(living) / MIB
            sample[f"{name}_files"] = measure.descriptors(living)
        sample["memory"] = sample["run_directory"] + sum(
            sample[f"{name}_memory"] for name in ("caller", "supervisor", "zygote", "workers")
        )
        self.samples.append(sample)


@dataclass
class Killer:
    """Strikes at times drawn beforehand."""

    watch: Watch
    strikes: list[tuple[float, str]]
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def next_at(self) -> float:
        """CLOCK_MONOTONIC of the next strike."""
        return self.strikes[0][0] if self.strikes else float("inf")

    def strike(self) -> None:
        _, what = self.strikes.pop(0)
        for pid in self.watch.roles().victims(what, SINKS, self.rng):
            self.kills[what] += killing.kill(pid, self.watch.run_dir)


def strikes(length_s: float, supervisor_kills: int, rng: random.Random) -> list[tuple[float, str]]:
    """What is killed when: half of it at any time, half while a burst is on its way."""
    cards = killing.deck(round(length_s / KILL_S), supervisor_kills, rng)
    now = time.monotonic()
    times = []
    for number, _ in enumerate(cards):
        at_s = rng.uniform(1.0, length_s)
        if number % 2:
            at_s = (at_s // SPAN_S + 1) * SPAN_S - BURST_S + rng.uniform(0.0, BURST_LASTS_S)
        times.append(now + at_s)
    return list(zip(sorted(times), cards, strict=True))


class Child:
    """The process that runs the pipeline and reads its results."""

    def __init__(self, run: LongRun) -> None:
        program = measure.HERE / "long_run_pipeline.py"
        self._said, self._log = run.folder / "said", run.folder / "log"
        with self._said.open("w") as said, self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(program), str(run.folder), str(run.orders), str(run.visits)],
                cwd=run.folder, stdout=said, stderr=log, env={**os.environ, "XDG_STATE_HOME": str(run.folder)},
            )
        self.run_dir = self._first_word()

    def _first_word(self) -> Path:
        while self.process.poll() is None:
            for line in self._said.read_text().splitlines(keepends=True):
                if line.startswith("RUNS ") and line.endswith("\n"):
                    return Path(line.removeprefix("RUNS ").strip())
            time.sleep(0.05)
        raise SystemExit(f"it did not start:\n{self._log.read_text()[-4000:]}")

    def result(self) -> dict[str, Any]:
        """What it told at its end."""
        for line in self._said.read_text().splitlines():
            if line.startswith("RESULT "):
                found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
                return found
        raise SystemExit(f"it ended with {self.process.returncode}:\n{self._log.read_text()[-4000:]}")


def main() -> int:
    """0: every promise kept and, in a run that is long enough to tell, nothing grows."""
    asked = _arguments()
    rng = random.Random(asked.seed)
    length_s = 60.0 if asked.short else asked.minutes * 60.0
    folder = Path(tempfile.mkdtemp(prefix="penstock-long-run-"))
    run = LongRun(folder, BURSTS.schedule().rows_due(length_s), VISITS.schedule().rows_due(length_s))
    try:
        return _report(asked, run, length_s, *_survive(run, length_s, asked.supervisor_kills, rng))
    finally:
        shutil.rmtree(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--short", action="store_true", help="one minute: what grows slowly is not judged")
    parser.add_argument("--supervisor-kills", type=int, default=3, help="so often; the next run takes over")
    parser.add_argument("--seed", type=int, default=1, help="of the killer")
    parser.add_argument("--plot", type=Path, help="an SVG file")
    parser.add_argument("--samples", type=Path, help="a file of JSON lines, one a second")
    parser.add_argument("--log", type=Path, help="what the run had to say")
    return parser.parse_args()


def _survive(
    run: LongRun, length_s: float, supervisor_kills: int, rng: random.Random
) -> tuple[Watch, Killer, dict[str, Any]]:
    """The run, to its end."""
    child = Child(run)
    watch = Watch(child.process.pid, child.run_dir)
    killer = Killer(watch, strikes(length_s, supervisor_kills, rng), rng)
    look_at = time.monotonic()
    while child.process.poll() is None:
        now = time.monotonic()
        if now - watch.began > length_s + LIMIT_S:
            print(f"it hangs: {take_snapshot(watch.run_dir)}", file=sys.stderr)
            child.process.terminate()
        if now >= killer.next_at:
            killer.strike()
        elif now >= look_at:
            watch.look()
            look_at = max(look_at + SAMPLE_S, now)
        else:
            time.sleep(min(look_at, killer.next_at) - now)
    return watch, killer, child.result()


def _report(
    asked: argparse.Namespace, run: LongRun, length_s: float, watch: Watch, killer: Killer, told: dict[str, Any]
) -> int:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    samples = [sample for sample in watch.samples if sample["at_s"] <= length_s]
    found = [
        *long_run_check.everything(run, run.folder / "penstock"),
        long_run_check.Found(
            "results()", long_run_check.AT_LEAST, run.orders, told["missing"], told["repeated"], told["wrong"]
        ),
    ]
    if asked.samples:
        asked.samples.write_text("".join(json.dumps(sample) + "\n" for sample in watch.samples))
    if asked.log:
        shutil.copyfile(run.folder / "log", asked.log)
    kept = _tell_rows(found)
    trends = {name: trend(list(_points(samples, name)), line.limit or NO_LIMIT) for name, line in LINES.items()}
    flat = _tell_trends(trends)
    stall_s, stage = _longest_stall(samples)
    left = [str(path) for path in watch.run_dir.parent.glob(f"*{watch.run_dir.name}*")]
    print(
        f"\n{sum(killer.kills.values())} kills in {length_s / 60:g} minutes, by what was meant: "
        f"{dict(killer.kills.most_common())}; {told['restarts']} restarts, {told['takeovers']} takeovers, "
        f"{told['retries']} retries.\nLongest time without a row into a sink: {stall_s:.1f} s ({stage}). "
        f"Left behind: {', '.join(left) or 'nothing'}. Outcome: {told['outcome']}.\n"
        f"Processor time: {(used.ru_utime + used.ru_stime) / length_s:.2f} cores on average, and "
        f"{(own.ru_utime + own.ru_stime) / length_s:.2f} for sampling, killing and checking.\n{measure.machine()}."
    )
    if asked.plot:
        plots.write(asked.plot, list(_panels(samples)))
    sound = kept and not left and told["outcome"] == "finished"
    moving = stall_s <= STALL_S
    verdict = [
        "every promise kept" if sound else "BROKEN PROMISES",
        "always moving" if moving else f"STOOD STILL for more than {STALL_S:g} s",
        ("flat" if flat else "NOT FLAT") + " (too short to judge)" * asked.short,
    ]
    print(f"\nVerdict: {'; '.join(verdict)}.")
    return 0 if sound and moving and (flat or asked.short) else 1


def _tell_rows(found: Sequence[long_run_check.Found]) -> bool:
    print(measure.table(
        ["sink", "promise", "rows", "missing", "repeated", "wrong", "kept"],
        [
            (f.sink, f.promise, f"{f.expected:,}", f.missing, f.repeated, f.wrong, "yes" if f.kept else "NO")
            for f in found
        ],
    ))
    return all(f.kept for f in found)


def _tell_trends(trends: dict[str, Trend]) -> bool:
    print("\n" + measure.table(
        ["", "first third", "last third", "slope per hour", "flat is", "flat"],
        [
            (
                f"{LINES[name].name}{', ' * bool(LINES[name].unit)}{LINES[name].unit}", f"{t.first:,.2f}",
                f"{t.last:,.2f}", f"{t.per_hour:+,.2f}", LINES[name].limit or "", _judged(LINES[name], t),
            )
            for name, t in trends.items()
        ],
    ))
    return all(t.flat for t in trends.values())


def _judged(line: Line, found: Trend) -> str:
    if line.limit is None:
        return "not judged"
    return "yes" if found.flat else "NO"


def _points(samples: Sequence[dict[str, Any]], name: str) -> Iterator[Point]:
    """A line of the samples; rates are over the time from burst to burst, and a minute for restarts."""
    if name == "rows_per_s":
        yield from _rates(samples, SPAN_S, lambda sample: sum(sample["rows"][sink] for sink in SINKS))
    elif name == "restarts_per_min":
        for point in _rates(samples, 60.0, lambda sample: sample["restarts"]):
            yield Point(point.at_s, point.value * 60.0)
    else:
        owner = name.partition("_")[0]
        for sample in samples:
            life = sample["lives"][LINES[name].life]
            # Between a death and its successor's first look there is nobody to sample.
            if owner not in sample["lives"] or sample["lives"][owner] is not None:
                yield Point(sample["at_s"], sample[name], life or 0)


def _rates(
    samples: Sequence[dict[str, Any]], window_s: float, count: Callable[[dict[str, Any]], int]
) -> Iterator[Point]:
    start = 0
    for sample in samples:
        while sample["at_s"] - samples[start]["at_s"] > window_s:
            start += 1
        passed_s = sample["at_s"] - samples[start]["at_s"]
        if passed_s > window_s * 0.9:
            yield Point(sample["at_s"], (count(sample) - count(samples[start])) / passed_s)


def _longest_stall(samples: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """The longest time in which a sink got nothing, and which."""
    longest = (0.0, "")
    for sink in SINKS:
        since = samples[0]
        for sample in samples:
            if sample["rows"][sink] != since["rows"][sink]:
                since = sample
            longest = max(longest, (sample["at_s"] - since["at_s"], sink))
    return longest


def _panels(samples: Sequence[dict[str, Any]]) -> Iterator[plots.Panel]:
    def line(name: str) -> list[tuple[float, float]]:
        return [(point.at_s, point.value) for point in _points(samples, name)]

    yield plots.Panel("Memory and run directory, MiB", {
        "all": line("memory"), "workers": line("workers_memory"), "run directory": line("run_directory"),
    })
    yield plots.Panel("Heap, MiB", {
        "zygote": line("zygote_heap"), "supervisor": line("supervisor_heap"), "caller": line("caller_heap"),
    })
    yield plots.Panel("Open descriptors, workers", {"workers, together": line("workers_files")})
    yield plots.Panel("Open descriptors", {
        "supervisor": line("supervisor_files"), "zygote": line("zygote_files"), "caller": line("caller_files"),
    })
    yield plots.Panel("End to end, ms", {"p99": line("p99"), "p50": line("p50")}, ceiling=1_000.0)
    yield plots.Panel("Rows/s into sinks, from burst to burst", {"rows/s": line("rows_per_s")})
    yield plots.Panel("Restarts of workers per minute", {"restarts": line("restarts_per_min")})


if __name__ == "__main__":
    sys.exit(main())
