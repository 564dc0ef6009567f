"""Queries of Nexmark: events per second and core of penstock, beside DuckDB over the same file in one go.

    python bench/nexmark_rates.py [--events 1000000] [--queries q0 q5] [--rounds 3] [--workers 1] [--results FILE]

A core's second is a second of processor time, of all processes of a run from interpreter to interpreter's end: so
figures of a busy machine can be compared, too. DuckDB's is that of reading the file and of the query with its output,
which is told apart; its interpreter's start is left out. The rows of the first round are compared, unless
`--unchecked`. With `--results` runs are kept in a file; the same command goes on where it was broken off.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import measure
import watched
from nexmark.reference import Reference
from workloads import events

from nexmark import compare, generator, queries

QUERIES = ("q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q11")
HERE = Path(__file__).resolve().parent
LIMIT_S = 3600.0


def main() -> None:
    given = _arguments()
    data = events.data_folder() / "nexmark"
    data.mkdir(exist_ok=True)
    stream = data / f"events-{given.events}.jsonl"
    if not stream.exists():
        generator.write(stream.with_suffix(".new"), given.events)
        stream.with_suffix(".new").rename(stream)
    watched.adopt_orphans()
    told = _kept(given.results)
    reference: Reference | None = None
    for number in range(given.rounds):
        for query in given.queries:
            name = f"{query} {given.events} {given.workers} {number}"
            if name in told:
                continue
            output = data / f"{query}.jsonl"
            told[name] = _measured(query, stream, output, given.workers)
            if number == 0 and not given.unchecked:
                reference = reference or Reference(stream)
                told[name]["checked"] = _checked(query, output, reference)
            output.unlink()
            print(name, told[name], file=sys.stderr, flush=True)
            if given.results is not None:
                given.results.write_text(json.dumps(told))
    print(_table(told, given))
    print(f"\n{measure.machine()}, {given.events:,} events")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--queries", nargs="*", choices=QUERIES, default=list(QUERIES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="of the stages behind a key")
    parser.add_argument("--results", type=Path, metavar="FILE")
    parser.add_argument("--unchecked", action="store_true", help="compare no rows")
    return parser.parse_args()


def _kept(file: Path | None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file is not None and file.exists() else {}
    return found


def _measured(query: str, stream: Path, output: Path, workers: int) -> dict[str, Any]:
    """Both, one right after the other."""
    script, batch = str(HERE / "nexmark" / "stream.py"), str(HERE / "nexmark" / "batch.py")
    ours = watched.run(
        [sys.executable, script, query, str(stream), str(output), "--workers", str(workers)], limit_s=LIMIT_S
    )
    csv = output.with_suffix(".csv")
    theirs = watched.run([sys.executable, batch, query, str(stream), str(csv)], limit_s=LIMIT_S)
    csv.unlink()
    return {
        "rows": ours["rows"], "cpu_s": ours["cpu_s"], "total_s": ours["total_s"], "pss_mib": ours["pss_mib"],
        "others": ours["others"], "duckdb_read_cpu_s": theirs["read_cpu_s"],
        "duckdb_query_cpu_s": theirs["query_cpu_s"], "duckdb_s": theirs["total_s"],
    }


def _checked(query: str, output: Path, reference: Reference) -> str:
    found = map(compare.line, queries.results(query, output))
    difference = compare.difference(found, map(compare.line, reference.rows(query)))
    return "same" if difference is None else f"DIFFERS: {difference}"


def _table(told: dict[str, dict[str, Any]], given: argparse.Namespace) -> str:
    head = [
        "", "runs", "events/s/core", "min..max", "x DuckDB", "CPU s", "DuckDB CPU s", "its query", "s", "DuckDB s",
        "PSS MiB", "rows",
    ]
    lines = []
    for query in given.queries:
        names = [f"{query} {given.events} {given.workers} {number}" for number in range(given.rounds)]
        if runs := [told[name] for name in names if name in told]:
            lines.append(_line(query, runs))
    return measure.table(head, lines)


def _line(query: str, runs: list[dict[str, Any]]) -> list[str]:
    def middle(key: str) -> float:
        return statistics.median(float(run[key]) for run in runs)

    rates = sorted(run["rows"] / run["cpu_s"] for run in runs)
    batch = [run["duckdb_read_cpu_s"] + run["duckdb_query_cpu_s"] for run in runs]
    ratio = statistics.median(theirs / run["cpu_s"] for run, theirs in zip(runs, batch, strict=True))
    return [
        query, str(len(runs)), f"{statistics.median(rates):,.0f}", f"{rates[0]:,.0f}..{rates[-1]:,.0f}", f"{ratio:.2f}",
        f"{middle('cpu_s'):.1f}", f"{statistics.median(batch):.1f}", f"{middle('duckdb_query_cpu_s'):.2f}",
        f"{middle('total_s'):.1f}", f"{middle('duckdb_s'):.1f}", f"{middle('pss_mib'):.0f}",
        next((run["checked"] for run in runs if "checked" in run), "not compared"),
    ]


if __name__ == "__main__":
    main()
