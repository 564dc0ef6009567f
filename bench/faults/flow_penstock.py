"""penstock, shot at by `kill_matrix.py`: each of the four places is a stage of its own; the sink's files are exact."""

from __future__ import annotations

import os
from pathlib import Path

import penstock as ps
from faults import trouble
from penstock.connectors import files

NAME = "kill-matrix"


def pipeline(folder: Path) -> ps.Pipeline:
    """All stages but the source with a time-out; the rest is as it comes."""
    app = ps.Pipeline(NAME)
    numbers = app.source(trouble.numbers, name="source")
    worked = numbers.stage("stage", workers=2, timeout=f"{trouble.TIMEOUT_S:g}s").map(trouble.work)
    fanned = worked.stage("fan-out", timeout=f"{trouble.TIMEOUT_S:g}s").flat_map(trouble.fan)
    arrived = fanned.stage("sink", timeout=f"{trouble.TIMEOUT_S:g}s").map(trouble.arrive)
    arrived.sink(files.json_lines(folder / "out.jsonl", int), fused=True)
    return app


def main() -> None:
    folder = Path(os.environ["BENCH_FOLDER"])
    os.chdir(folder)
    with pipeline(folder).start(run_dir=folder / "run", state_dir=folder / "state") as handle:
        (folder / "supervisor").write_text(str(handle.supervisor_pid))
        print(handle.wait())


if __name__ == "__main__":
    main()
