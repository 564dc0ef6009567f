"""How long an event takes through three stages: penstock beside `multiprocessing.Queue` and its peers.

    python bench/latency.py [--peers] [--rounds 3] [--only TEXT ...] [--results FILE [--for SECONDS] [--table]]

Events are due at a fixed rate; the latency of one is the time from when it was *due* to when the sink's process has it.
Prints a table in Markdown: medians over the rounds. `bench/throughput.py` tells what the options mean.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import measure
import side_by_side
from contestants import LATENCY, Contestant
from side_by_side import Plan, Session
from throughput import arguments, choose

FIGURES = {"p50_ms": "p50 ms", "p90_ms": "p90 ms", "p99_ms": "p99 ms", "p999_ms": "p99.9 ms", "max_ms": "max ms"}
LOOK_EVERY_S = 3.0
"""Looking at the memory of processes holds them up for a moment: seldom here."""


def main() -> int:
    parser = arguments(__doc__)
    parser.set_defaults(rounds=3)
    given = parser.parse_args()
    session = Session("w4", given.results)
    chosen = choose(LATENCY, given)
    done = given.table or side_by_side.run(
        session, chosen, Plan(given.rounds, given.peers, given.for_s, look_every_s=LOOK_EVERY_S)
    )
    print(table(session, chosen))
    print(f"\n{measure.machine()}")
    if not done:
        print("not all runs are done; the same command continues", file=sys.stderr)
    return 0 if done else 3


def table(session: Session, contestants: Sequence[Contestant]) -> str:
    """Percentiles of each."""
    head = ["", "runs", "events", "arrived", *FIGURES.values(), "CPU s", "PSS MiB"]
    lines = []
    for name in (contestant.name for contestant in contestants):
        runs = session.rounds(name)
        if runs:
            last = next(reversed(runs.values()))
            figures = [f"{session.median(name, key):,.2f}" for key in FIGURES]
            cost = [f"{session.median(name, 'cpu_s'):.1f}", f"{session.median(name, 'pss_mib'):.0f}"]
            lines.append([name, str(len(runs)), f"{last['sent']:,}", f"{last['rows']:,}", *figures, *cost])
        elif failure := session.failure(name):
            lines.append([name, "0", "", "", *[""] * len(FIGURES), "failed", failure[-80:]])
    return measure.table(head, lines)


if __name__ == "__main__":
    sys.exit(main())
