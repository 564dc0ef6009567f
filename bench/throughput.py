"""Rows per second of penstock beside bare loops, `multiprocessing.Queue` and its peers.

    python bench/throughput.py w1|w2|columns [--peers] [--rounds 5] [--only TEXT ...]
    python bench/throughput.py w1|w2|columns --results FILE [--for SECONDS] [--table]

Prints a table in Markdown. `--peers` needs `bench/peers/environments.py` to have been run. With `--results`, runs are
kept in a file and the same command continues where it stopped; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import limits
import measure
import side_by_side
from contestants import COLUMNS, W1, W2, Contestant, Kind, Role
from peers.environments import python_of
from side_by_side import Plan, Session, Told
from workloads import checksum, events, functions

CONTESTANTS = {"w1": W1, "w2": W2, "columns": COLUMNS}


def main() -> int:
    given = arguments(__doc__, tuple(CONTESTANTS)).parse_args()
    session = Session(given.workload, given.results)
    chosen = choose(CONTESTANTS[given.workload], given)
    done = True
    if not given.table:
        if given.workload != "w1":
            events.whole_file()
        done = side_by_side.run(session, chosen, Plan(given.rounds, given.peers, given.for_s), check(session))
    print(table(session, chosen))
    if parts := _parts(session, chosen):
        print(f"\n{limits.table(parts)}")
    print(f"\n{measure.machine()}")
    if not done:
        print("not all runs are done; the same command continues", file=sys.stderr)
    return 0 if done else 3


def arguments(text: str | None, workloads: Sequence[str] = ()) -> argparse.ArgumentParser:
    """What the drivers take."""
    parser = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    if workloads:
        parser.add_argument("workload", choices=workloads)
    parser.add_argument("--peers", action="store_true", help="also the peers that are installed")
    parser.add_argument("--short", action="store_true", help="the few that matter most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], metavar="TEXT", help="only names with one of these")
    parser.add_argument("--results", type=Path, metavar="FILE", help="keep runs here, and continue with those that are")
    parser.add_argument("--for", dest="for_s", type=float, metavar="SECONDS", help="begin no run after so long")
    parser.add_argument("--table", action="store_true", help="run nothing, print what is in the file")
    return parser


def choose(contestants: Sequence[Contestant], given: argparse.Namespace) -> list[Contestant]:
    """Those that are asked for and installed."""
    chosen = [c for c in contestants if (given.peers or c.kind is not Kind.PEER) and (c.short or not given.short)]
    chosen = [c for c in chosen if not given.only or any(text in c.name for text in given.only)]
    missing = {c.environment for c in chosen if given.peers and not python_of(c.environment).exists()}
    if missing:
        names = ", ".join(sorted(missing))
        print(f"left out, having no environment (see bench/peers/environments.py): {names}", file=sys.stderr)
    return [c for c in chosen if c.kind in (Kind.PENSTOCK, Kind.LIMIT) or c.environment not in missing]


def check(session: Session) -> side_by_side.Checked:
    """Compares the first output of each contestant with what it should be."""

    def checked(contestant: Contestant, told: Told) -> Told:
        if "output" not in told or any("checked" in run for run in session.rounds(contestant.name).values()):
            return told
        expected, found = _expected(told["rows"]), str(checksum.of_output(Path(told["output"])))
        return {**told, "checked": "same" if found == expected else f"DIFFERS: {found} in place of {expected}"}

    return checked


def _expected(rows: int) -> str:
    """The checksum of the right output, kept beside the data as long as nobody changes how it is made."""
    sources = b"".join(Path(module.__file__ or "").read_bytes() for module in (events, functions, checksum))
    known = events.data_folder() / f"checksums-{zlib.crc32(sources):08x}.json"
    sums: dict[str, str] = json.loads(known.read_text()) if known.exists() else {}
    if str(rows) not in sums:
        sums[str(rows)] = str(checksum.expected(rows))
        known.write_text(json.dumps(sums))
    return sums[str(rows)]


def table(session: Session, contestants: Sequence[Contestant]) -> str:
    """The rates, and how they compare."""
    ran = [c for c in contestants if session.rounds(c.name)]
    columns = session.workload == "columns"
    bases = [_with_role(ran, Role.COLUMNS)] if columns else [
        _best_loop(session, ran), _with_role(ran, Role.ONE_BY_ONE), _with_role(ran, Role.BY_HAND),
    ]  # fmt: skip
    ratios = ["x polars"] if columns else ["x best bare loop", "x mp.Queue one by one", "x mp.Queue by hand"]
    head = ["", "runs", "rows", "rows/s", "min..max", *ratios, "CPU s", "PSS MiB", "checked"]
    lines = [_line(session, contestant, bases) for contestant in contestants]
    return measure.table(head, [line for line in lines if line])


def _parts(session: Session, contestants: Sequence[Contestant]) -> dict[str, float]:
    """What the limits were computed from, as medians."""
    told = [run["parts"] for c in contestants for run in session.rounds(c.name).values() if "parts" in run]
    return {part: statistics.median(parts[part] for parts in told) for part in told[0]} if told else {}


def _line(session: Session, contestant: Contestant, bases: Sequence[str | None]) -> list[str]:
    name = contestant.name
    runs = session.rounds(name)
    if not runs:
        failure = session.failure(name)
        return [name, "0", "", "", "failed", *[""] * (len(bases) + 2), failure[-80:]] if failure else []
    rates = sorted(run["rows_s"] for run in runs.values())
    sums = "sums" if session.workload == "w1" else ""
    return [
        name,
        str(len(runs)),
        f"{next(iter(runs.values()))['rows']:,}",
        f"{session.median(name, 'rows_s'):,.0f}",
        f"{rates[0]:,}..{rates[-1]:,}",
        *(_ratio(session.ratio(name, base)) for base in bases),
        f"{session.median(name, 'cpu_s'):.1f}",
        f"{session.median(name, 'pss_mib'):.0f}",
        next((run["checked"] for run in runs.values() if "checked" in run), sums),
    ]


def _ratio(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.{3 if value < 0.1 else 2 if value < 20 else 0}f}"


def _best_loop(session: Session, ran: Sequence[Contestant]) -> str | None:
    loops = [c.name for c in ran if c.kind is Kind.LOOP]
    return max(loops, key=lambda name: session.median(name, "rows_s") or 0, default=None)


def _with_role(ran: Sequence[Contestant], role: Role) -> str | None:
    return next((c.name for c in ran if c.role is role), None)


if __name__ == "__main__":
    sys.exit(main())
