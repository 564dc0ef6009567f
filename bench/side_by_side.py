"""Runs contestants in turn, round after round, and keeps what each run told, so that a long session can pause.

Ratios are taken within a round, between runs that shared the machine's mood. `throughput` and `latency` print tables.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
import watched
from contestants import Contestant

NOISY = 0.25
"""Cores that others may use during a run; beyond that it is run again."""
ATTEMPTS = 2
SLOW_ROUNDS = 3

Told = dict[str, Any]
Checked = Callable[[Contestant, Told], Told]
"""Adds to what a run told whether its output is right."""


@dataclass
class Session:
    """The runs of one workload, in memory and in a file of JSON lines."""

    workload: str
    file: Path | None = None
    runs: dict[tuple[str, int], Told] = field(default_factory=dict)
    """By contestant and round."""

    def __post_init__(self) -> None:
        if self.file is not None and self.file.exists():
            for line in self.file.read_text().splitlines():
                told = json.loads(line)
                if told["workload"] == self.workload:
                    self.runs[told["name"], told["round"]] = told

    def keep(self, name: str, round_: int, told: Told) -> None:
        """Note a run."""
        told = {"workload": self.workload, "name": name, "round": round_, "when": round(time.time()), **told}
        self.runs[name, round_] = told
        if self.file is not None:
            with self.file.open("a") as file:
                file.write(json.dumps(told) + "\n")

    def has(self, name: str, round_: int) -> bool:
        """True: that run told something; one that failed is tried again by the next session."""
        return "failed" not in self.runs.get((name, round_), {"failed": ""})

    def rounds(self, name: str) -> dict[int, Told]:
        """The runs of a contestant that told something, by round."""
        found = {number: told for (who, number), told in self.runs.items() if who == name and "failed" not in told}
        return dict(sorted(found.items()))

    def failure(self, name: str) -> str | None:
        """Why a contestant that has no run has none."""
        return next((told["failed"] for (who, _), told in self.runs.items() if who == name and "failed" in told), None)

    def median(self, name: str, key: str) -> float | None:
        """Over all rounds; None: it was never told."""
        values = [told[key] for told in self.rounds(name).values() if key in told]
        return statistics.median(values) if values else None

    def ratio(self, name: str, other: str | None, key: str = "rows_s") -> float | None:
        """The median over the rounds that both ran in."""
        if other is None:
            return None
        mine, others = self.rounds(name), self.rounds(other)
        ratios = [mine[number][key] / others[number][key] for number in mine if number in others]
        return statistics.median(ratios) if ratios else None


@dataclass(frozen=True)
class Plan:
    """How a session is run."""

    rounds: int
    with_peers: bool
    for_s: float | None = None
    """Begin no run after so many seconds; the same command continues later."""
    look_every_s: float = 0.4


def run(
    session: Session,
    contestants: Sequence[Contestant],
    plan: Plan,
    checked: Checked = lambda _, told: told,
) -> bool:
    """Run what is missing; False: there was no time for all of it."""
    watched.adopt_orphans()
    began = time.monotonic()
    for number in range(plan.rounds):
        for contestant in contestants:
            if session.has(contestant.name, number) or (contestant.slow and number >= SLOW_ROUNDS):
                continue
            if plan.for_s is not None and time.monotonic() - began > plan.for_s:
                return False
            told = _measured(contestant, plan)
            session.keep(contestant.name, number, checked(contestant, told))
            _say(number, contestant.name, session.runs[contestant.name, number])
    return True


def _measured(contestant: Contestant, plan: Plan) -> Told:
    """The quietest of a few runs, the first one that is quiet enough."""
    command = contestant.command(with_peers=plan.with_peers)
    attempts: list[Told] = []
    while len(attempts) < ATTEMPTS:
        measure.quiet(5.0)
        try:
            attempts.append(watched.run(command, env=contestant.env, look_every_s=plan.look_every_s))
        except (measure.RunFailed, FileNotFoundError) as failure:
            return {"failed": str(failure)}
        if attempts[-1]["others"] <= NOISY:
            break
    return min(attempts, key=lambda told: max(float(told["others"]), NOISY))


def _say(number: int, name: str, told: Told) -> None:
    names = ("rows_s", "p50_ms", "p99_ms", "cpu_s", "pss_mib", "others", "checked", "failed")
    shown = "  ".join(f"{key} {told[key]:,}" if isinstance(told[key], int) else f"{key} {told[key]}"
                      for key in names if key in told)  # fmt: skip
    print(f"{number + 1} {name}: {shown}", file=sys.stderr, flush=True)
