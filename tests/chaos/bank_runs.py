"""Many short independent banks (`bank.py`), in processes of their own, with neighbours that burn the cores.

    python tests/chaos/bank_runs.py --runs 3000 --burn 2 --at-once 2

Prints each failure with its seed, and at the end how often a run fails at most, with 95 % confidence.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
TIMEOUT_S = 600.0
CONFIDENCE = 0.95


def one(seed: int, lives: int, rescale: bool) -> int:
    """In a child: one bank."""
    from bank import Run

    with tempfile.TemporaryDirectory(prefix="penstock-bank-", dir=os.environ.get("BANK_FOLDER")) as folder:
        run = Run(Path(folder), seed, rescale)
        count = run.survive(lives)
    print(" ".join(f"{what.replace(' ', '_')}={times}" for what, times in run.happened.items()), f"transfers={count}")
    return 0


def start(seed: int, given: argparse.Namespace) -> subprocess.Popen[str]:
    options = ["--keep-workers"] if given.keep_workers else []
    return subprocess.Popen(
        [sys.executable, __file__, "--seed", str(seed), "--lives", str(given.lives), *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


def burner() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


def bound(runs: int, failures: int) -> float:
    """The share of runs that fail is at most this (Clopper and Pearson), with 95 % confidence."""
    low, high = failures / runs, 1.0
    for _ in range(60):
        share = (low + high) / 2
        few = sum(math.comb(runs, k) * share**k * (1 - share) ** (runs - k) for k in range(failures + 1))
        low, high = (share, high) if few > 1 - CONFIDENCE else (low, share)
    return high


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first", type=int, default=1000, metavar="SEED")
    parser.add_argument("--seed", type=int, help="one run, in this process")
    parser.add_argument("--lives", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--burn", type=int, default=0, metavar="NEIGHBOURS")
    parser.add_argument(
        "--for", dest="for_s", type=float, default=math.inf, metavar="SECONDS", help="begin none after so long"
    )
    parser.add_argument("--keep-workers", action="store_true", help="never change the number of workers")
    given = parser.parse_args()
    if given.seed is not None:
        return one(given.seed, given.lives, not given.keep_workers)
    return many(given)


def many(given: argparse.Namespace) -> int:
    burners = [burner() for _ in range(given.burn)]
    began, happened, failures, done = time.monotonic(), Counter[str](), [], 0
    waiting = iter(range(given.first, given.first + given.runs))
    running: dict[int, subprocess.Popen[str]] = {}
    try:
        while True:
            while len(running) < given.at_once and time.monotonic() - began < given.for_s:
                if (seed := next(waiting, None)) is None:
                    break
                running[seed] = start(seed, given)
            if not running:
                break
            seed, process = next(iter(running.items()))
            try:
                told, _ = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                told = f"not done in {TIMEOUT_S:.0f} s\n{process.communicate()[0]}"
            del running[seed]
            done += 1
            if process.returncode:
                failures.append(seed)
                print(f"--- seed {seed} failed:\n{told}", flush=True)
                continue
            for pair in told.splitlines()[-1].split():
                what, _, times = pair.partition("=")
                happened[what] += int(times)
    finally:
        for neighbour in burners:
            neighbour.kill()
    print(f"{done} runs in {time.monotonic() - began:.0f} s, {len(failures)} failed {failures or ''}: "
          f"at most {bound(done, len(failures)):.2%} of runs fail, with {CONFIDENCE:.0%} confidence")
    print(", ".join(f"{what.replace('_', ' ')} {times:,}" for what, times in happened.most_common()))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
