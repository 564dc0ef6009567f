"""Simulates runs: one by its seed, many, or until a time is over; or looks how soon planted bugs are found.

    python tests/simulation/simulate.py --seed 4711           # one run, with what befell it
    python tests/simulation/simulate.py --seconds 600         # as many as there is time for, from a random seed on
    python tests/simulation/simulate.py --first 0 --runs 1000
    python tests/simulation/simulate.py --planted             # after how many runs is each bug found that is planted?

Prints the seed of each run in which something was wrong; exit code 1 then.
"""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import sys
import time
import traceback

from sim_planted import OF_CUTS, PLANTED, planted
from sim_run import Simulation

_MOST_SHOWN = 10
_MOST_PLANTED_RUNS = 20_000


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, help="only this run, with the order in which processes went on")
    parser.add_argument("--first", type=int, help="the seed of the first run; random unless given")
    parser.add_argument("--runs", type=int, help="so many runs")
    parser.add_argument("--seconds", type=float, default=60.0, help="so long, unless --runs says otherwise")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes at a time")
    parser.add_argument("--checkpointed", action="store_true", help="with checkpoints, and the loss of the machine")
    parser.add_argument("--planted", nargs="*", metavar="WORDS", help="plant bugs; those whose names have these words")
    given = parser.parse_args(arguments)
    if given.planted is not None:
        return _planted(given.planted, given.runs or _MOST_PLANTED_RUNS)
    if given.seed is not None:
        return _one(given.seed, given.checkpointed)
    first = given.first if given.first is not None else secrets.randbits(32)
    until = time.monotonic() + given.seconds if given.runs is None else float("inf")
    last = first + given.runs if given.runs is not None else sys.maxsize
    return _many(range(first, last), until, given.jobs, given.checkpointed)


def _one(seed: int, checkpointed: bool) -> int:
    simulation = Simulation(seed, checkpointed=checkpointed)
    simulation.machine.schedule.trace = trace = []
    try:
        simulation.run()
    except Exception:
        print("\n".join(trace[-200:]))
        traceback.print_exc()
        print(f"seed {seed}: {simulation.describe()}")
        return 1
    print(f"seed {seed}: {simulation.describe()}: nothing wrong")
    return 0


def _many(seeds: range, until: float, jobs: int, checkpointed: bool) -> int:
    """Each process takes every nth of the seeds."""
    began = time.monotonic()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        shares = [(seeds[job::jobs], until, checkpointed) for job in range(jobs)]
        sums = [sum(of_jobs) for of_jobs in zip(*pool.starmap(_share, shares), strict=True)]
    runs, lives, points, wrong = sums
    took = time.monotonic() - began
    print(
        f"from seed {seeds.start}: {runs} runs, {lives} lives, {points} points in {took:.0f} s "
        f"({60 * runs / took:.0f} runs a minute): {wrong} wrong"
    )
    return int(wrong > 0)


def _share(seeds: range, until: float, checkpointed: bool) -> tuple[int, int, int, int]:
    """(runs, lives, points, runs in which something was wrong)."""
    runs = points = lives = wrong = 0
    for seed in seeds:
        if time.monotonic() > until or wrong >= _MOST_SHOWN:
            break
        simulation = Simulation(seed, checkpointed=checkpointed)
        try:
            simulation.run()
        except Exception as exc:
            wrong += 1
            print(f"seed {seed}: {simulation.describe()}: {type(exc).__name__}: {str(exc)[:1000]}", flush=True)
        runs, points, lives = runs + 1, points + simulation.machine.schedule.points, lives + simulation.lives
    return runs, lives, points, wrong


def _planted(words: list[str], most: int) -> int:
    """Prints after how many runs each is found; those that are not are no success."""
    unfound = 0
    for name in PLANTED:
        if words and not any(word in name for word in words):
            continue
        began = time.monotonic()
        with planted(name):
            found = next((seed for seed in range(most) if _is_wrong(seed, name in OF_CUTS)), None)
        unfound += found is None
        told = f"not found in {most} runs" if found is None else f"found after {found + 1} runs"
        print(f"{told:25} {time.monotonic() - began:6.1f} s  {name}", flush=True)
    return int(unfound > 0)


def _is_wrong(seed: int, checkpointed: bool) -> bool:
    try:
        Simulation(seed, checkpointed=checkpointed).run()
    except Exception:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
