"""w3 on columns: JSON lines -> `map_batches` that parses -> count and sum of each user's ten seconds -> JSON lines.

    python bench/flows/w3_columns.py [--rounds 5] [--rows 500000]

Two stages: one reads and parses, one computes the windows. In turns with polars in one go over the same file; each in a
process of its own. Prints the ratios of each round.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure
import polars as pl
from workloads import events

import penstock as ps
from penstock.connectors import files

SCHEMA = {"ts": pl.String, "user_id": pl.String, "ms": pl.Int64}
WINDOW_MS = 10_000


def selected(frame: Any) -> Any:
    moment = pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms").dt.epoch("ms")
    return frame.select(pl.col("user_id").alias("user"), moment.alias("at"), "ms")


def parsed(lines: pl.DataFrame) -> pl.DataFrame:
    """A column of lines in; user, moment and duration out."""
    events = lines.lazy().select(pl.col("value").str.json_decode(pl.Struct(SCHEMA)).alias("event")).unnest("event")
    return selected(events).collect(engine="in-memory")


def by_polars(path: Path, out: Path) -> None:
    """All of it in one go, on all cores."""
    grouped = selected(pl.scan_ndjson(path, schema=SCHEMA)).group_by("user", pl.col("at") // WINDOW_MS)
    grouped.agg(pl.len().alias("n"), pl.col("ms").sum()).sink_ndjson(out)


def by_penstock(path: Path, out: Path, folder: str) -> None:
    app = ps.Pipeline("bench-w3-columns")
    source = app.source(files.lines(str(path)), name="parse")
    moments = source.map_batches(parsed).event_time("at", unit="ms", disorder="10s")
    windows = moments.stage("windows").key_by("user").window(ps.tumbling("10s"))
    windows.aggregate(n=ps.count(), ms=ps.sum("ms")).sink(files.json_lines(out, if_exists="overwrite"), fused=True)
    app.run(fresh=True, state_dir=folder, progress=False)


def totals(path: Path) -> tuple[int, int, int]:
    """How many windows, rows, and milliseconds: they must be the same."""
    sums = Counter[str]()
    with path.open() as lines:
        for line in lines:
            row = json.loads(line)
            sums.update({"windows": 1, "rows": row["n"], "ms": row["ms"]})
    return sums["windows"], sums["rows"], sums["ms"]


def run(who: str, path: Path, out: Path) -> None:
    began = time.monotonic()
    if who == "polars":
        by_polars(path, out)
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            by_penstock(path, out, folder)
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(one.ru_utime + one.ru_stime for one in used)
    measure.result(seconds=time.monotonic() - began, cpu_s=cpu_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--who", choices=("polars", "penstock"))
    given = parser.parse_args()
    path, found = events.first_lines(given.rows), {}
    if given.who:
        run(given.who, path, events.output(f"w3-columns-{given.who}"))
        return
    rates: dict[str, list[dict[str, float]]] = {"polars": [], "penstock": []}
    for _ in range(given.rounds):
        for who, told in rates.items():
            command = [sys.executable, __file__, "--who", who, "--rows", str(given.rows)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            told.append(json.loads(answer.rpartition("RESULT ")[2]))
            found[who] = totals(events.output(f"w3-columns-{who}"))
    assert found["polars"] == found["penstock"], found
    for kind in ("seconds", "cpu_s"):
        ratios = [a[kind] / b[kind] for a, b in zip(rates["polars"], rates["penstock"], strict=True)]
        medians = {who: statistics.median(one[kind] for one in told) for who, told in rates.items()}
        print(f"{kind}: {medians}; penstock has {statistics.median(ratios):.2f} of polars' pace, {sorted(ratios)}")


if __name__ == "__main__":
    main()
