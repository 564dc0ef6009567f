"""w2: JSON lines -> typed parse -> normalise -> join with 10,000 users -> score -> JSON lines, in Python per record.

    python bench/flows/w2.py fused|staged [--rows structs|dicts]

`fused`: one stage with two workers over a source split in eight files. `staged`: five isolated stages over one file,
all settings at their defaults.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure
from flows.clocked import ClockedSink, ClockedSource, StopWatch
from workloads import events, functions, typed

import penstock as ps
from penstock.connectors import files

ROWS = {
    "structs": (typed.Event, typed.normalise, typed.enrich, typed.score),
    "dicts": (functions.Row, functions.normalise, functions.enrich, functions.score),
}


def fused(rows: str, out: Path, watch: StopWatch) -> ps.Pipeline:
    kind, normalise, enrich, score = ROWS[rows]
    lines: Any = files.lines([str(path) for path in events.part_files()])
    app = ps.Pipeline(f"bench-w2-fused-{rows}")
    parsed = app.source(ClockedSource(lines, watch), name="work", workers=2).parse_json(kind)
    scored = parsed.map(normalise).map(enrich).map(score)
    scored.sink(ClockedSink(files.json_lines(f"{out}/", if_exists="overwrite"), watch), fused=True)
    return app


def staged(rows: str, out: Path, watch: StopWatch) -> ps.Pipeline:
    kind, normalise, enrich, score = ROWS[rows]
    app = ps.Pipeline(f"bench-w2-staged-{rows}")
    lines = app.source(ClockedSource(files.lines(str(events.whole_file())), watch), name="ingest")
    visits = lines.stage("normalise").parse_json(kind).map(normalise)
    scored = visits.stage("enrich").map(enrich).stage("score").map(score)
    target = files.json_lines(str(out / "all.jsonl"), if_exists="overwrite")
    scored.sink(ClockedSink(target, watch), name="store")
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=("fused", "staged"))
    parser.add_argument("--rows", choices=tuple(ROWS), default="structs")
    given = parser.parse_args()
    out = events.output(f"penstock-w2-{given.shape}-{given.rows}", "")
    with tempfile.TemporaryDirectory() as folder:
        watch = StopWatch(Path(folder))
        app = {"fused": fused, "staged": staged}[given.shape](given.rows, out, watch)
        began = time.monotonic()
        report = app.run(fresh=True, state_dir=folder, progress=False)
        total_s = time.monotonic() - began
        steady_s = watch.seconds()
    rows = next(iter(report.stages.values())).rows_in
    busy = {f"busy_us_{name}": round(stage.busy_s / rows * 1e6, 3) for name, stage in report.stages.items()}
    told = {"rows": rows, "steady_s": round(steady_s, 4), "rows_s": round(rows / steady_s)}
    measure.result(**told, total_s=round(total_s, 3), output=str(out), **busy)


if __name__ == "__main__":
    main()
