"""A query of Nexmark from a file of events to JSON lines.

    python bench/nexmark/stream.py q5 EVENTS OUTPUT [--workers 1]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure

from nexmark.queries import QUERIES, pipeline


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("query", choices=QUERIES)
    parser.add_argument("events", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--workers", type=int, default=1, help="of the stages behind a key")
    given = parser.parse_args()
    app = pipeline(given.query, given.events, given.output, workers=given.workers)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        report = app.run(fresh=True, state_dir=folder, progress=False)
        total_s = time.monotonic() - began
    measure.result(rows=report.stages["events"].rows_in, total_s=round(total_s, 3), stages=len(report.stages))


if __name__ == "__main__":
    main()
