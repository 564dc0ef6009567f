"""What becomes of the rows, and of the run, when something goes wrong: every fault at every place, run for real.

    python bench/kill_matrix.py                                 # all systems that are there; about an hour
    python bench/kill_matrix.py --only penstock --results /tmp/matrix.jsonl
    python bench/kill_matrix.py --cells poison/stage hang       # a cell, or a whole fault
    python bench/kill_matrix.py --results /tmp/matrix.jsonl --table     # run nothing, show what the file has
    python bench/kill_matrix.py --short                         # penstock, six cells once: under 20 s

Each system has the same flow in `faults/flow_*.py`: numbers from a source, a function in two workers, two rows for
each row, a sink. `faults/trouble.py` has the faults. Trials go to the results file as they come, and what stands there
is not run again. The peers' environments are made by `peers/environments.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from faults.show import peers_table, penstock_table
from faults.systems import SYSTEMS, System
from faults.trial import NoFault, Trial, run_trial
from faults.trouble import FAULTS, PLACES, WHOLE_RUN
from measure import machine
from peers.environments import folder

SHORT = ("killed/stage", "segfault/stage", "exception/stage", "killed/sink", "main killed/stage", "slow/fan-out")


def cells(asked: list[str]) -> list[tuple[str, str]]:
    """The cells that were asked for: all, those of a fault, or single ones."""
    found = [(fault, place) for fault in FAULTS for place in PLACES]
    wanted = [cell for cell in found if not asked or cell[0] in asked or "/".join(cell) in asked]
    return [cell for cell in wanted if cell[0] not in WHOLE_RUN or cell[1] == "stage"]


def load(path: Path) -> list[Trial]:
    """The trials that a results file has."""
    return [Trial(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def missing(system: System, asked: list[tuple[str, str]], trials: list[Trial], count: int) -> list[tuple[str, str]]:
    """The cells that have to be run, as often as they have to."""
    done = [(trial.fault, trial.place) for trial in trials if trial.system == system.name]
    cells = [cell for cell in asked if system.not_for(*cell) is None]
    return [cell for number in range(count) for cell in cells if done.count(cell) <= number]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[system.name for system in SYSTEMS])
    parser.add_argument("--cells", nargs="*", default=[], metavar="FAULT[/PLACE]")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--trials", type=int, default=3, help="of penstock, the worst is shown; peers are run once")
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time; they mostly wait")
    parser.add_argument("--for", type=float, default=1e9, dest="limit_s", help="seconds after which none is begun")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--short", action="store_true")
    asked = parser.parse_args()
    if asked.short:
        asked.only, asked.cells, asked.trials, asked.jobs, asked.rows = ["penstock"], list(SHORT), 1, 3, 2000
    until = time.monotonic() + asked.limit_s
    environments = folder()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        results = asked.results or Path(name) / "results.jsonl"
        wanted = cells(asked.cells)
        for system in SYSTEMS:
            if asked.table or (asked.only and system.name not in asked.only):
                continue
            python = system.python(environments)
            if python is None:
                print(f"{system.name}: no environment in {environments}, left out", file=sys.stderr)
                continue
            count = asked.trials if system.name == "penstock" else 1
            run_all(system, python, missing(system, wanted, load(results), count), results, asked, until)
        show(load(results), environments)


def run_all(
    system: System, python: Path, wanted: list[tuple[str, str]], results: Path, asked: argparse.Namespace, until: float
) -> None:
    def one(cell: tuple[str, str]) -> Trial | NoFault | None:
        try:
            return run_trial(system, python, *cell, asked.rows) if time.monotonic() < until else None
        except NoFault as missed:
            return missed

    with ThreadPoolExecutor(asked.jobs) as pool, results.open("a") as file:
        for ended in as_completed(pool.submit(one, cell) for cell in wanted):
            trial = ended.result()
            if isinstance(trial, Trial):
                file.write(json.dumps(asdict(trial)) + "\n")
                file.flush()
            if trial is not None:
                print(repr(trial), file=sys.stderr, flush=True)


def show(trials: list[Trial], environments: Path) -> None:
    print(penstock_table([trial for trial in trials if trial.system == "penstock"]))
    peers = [system for system in SYSTEMS if system.name != "penstock"]
    if any(trial.system != "penstock" for trial in trials):
        there = {trial.system for trial in trials}
        print("\n" + peers_table(peers, [trial for trial in trials if trial.system != "penstock"]))
        for system in peers:
            if system.name not in there and system.python(environments) is None:
                print(f"\n{system.name} is not in the table: its environment is missing")
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
