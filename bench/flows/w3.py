"""w3: the lines of w2 -> rows and bytes of each user in tumbling windows of ten seconds -> JSON lines.

    python bench/flows/w3.py rows [--workers 2]

`rows`: a source split in eight files parses and sends rows by key; isolated workers keep the windows, and write results
to files of their own. State survives any kill.
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
from workloads import events, windowed

import penstock as ps
from penstock.connectors import files


def rows(out: Path, watch: StopWatch, workers: int, readers: int) -> ps.Pipeline:
    lines: Any = files.lines([str(path) for path in events.part_files()])
    app = ps.Pipeline("bench-w3-rows")
    hits = app.source(ClockedSource(lines, watch), name="ingest", workers=readers).parse_json(windowed.Hit)
    timed = hits.event_time("ts", disorder=f"{windowed.DISORDER_S}s")
    windows = timed.stage("windows", workers=workers).key_by("user_id").window(ps.tumbling(f"{windowed.WINDOW_S}s"))
    used = windows.aggregate(windowed.Used, n=ps.count(), ms=ps.sum("ms"))
    used.sink(ClockedSink(files.json_lines(f"{out}/", if_exists="overwrite"), watch), fused=True)
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=("rows",))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--readers", type=int, default=1)
    given = parser.parse_args()
    out = events.output(f"penstock-w3-{given.shape}", "")
    with tempfile.TemporaryDirectory() as folder:
        watch = StopWatch(Path(folder))
        app = rows(out, watch, given.workers, given.readers)
        began = time.monotonic()
        report = app.run(fresh=True, state_dir=folder, progress=False)
        total_s = time.monotonic() - began
        steady_s = watch.seconds()
    count = report.stages["ingest"].rows_in
    busy = {f"busy_us_{name}": round(stage.busy_s / count * 1e6, 3) for name, stage in report.stages.items()}
    told = {"rows": count, "steady_s": round(steady_s, 4), "rows_s": round(count / steady_s)}
    measure.result(**told, total_s=round(total_s, 3), output=str(out), **busy)


if __name__ == "__main__":
    main()
