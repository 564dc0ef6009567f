"""What a pipeline costs that has nothing to do: twenty slots that wait.

    python bench/idle.py            # looked at for 30 s
    python bench/idle.py --short    # for 8 s
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from measure import cpu_s, family, machine, pss_bytes, table

import penstock as ps
from penstock.connectors import files

WORKERS = 18


def unchanged(line: str) -> str:
    return line


def pipeline(folder: Path) -> ps.Pipeline:
    """A file that nobody appends to, eighteen workers, and a sink."""
    app = ps.Pipeline("bench-idle")
    lines = app.source(files.lines(folder / "input.txt", follow=True), name="follow")
    lines.stage("work", workers=WORKERS).map(unchanged).sink(ps.discard(), name="end")
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    seconds = 8 if parser.parse_args().short else 30
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        (folder / "input.txt").write_text("once\n")
        with pipeline(folder).start(fresh=True, state_dir=folder / "state") as handle:
            handle.wait_until_running()
            while handle.status().stages["end"].rows_in < 1:
                time.sleep(0.05)
            time.sleep(1.0)
            workers, everybody = handle.worker_pids(), family(handle.supervisor_pid)
            used = {"workers": cpu_s(workers), "all": cpu_s(everybody)}
            time.sleep(seconds)
            share = {"workers": cpu_s(workers) - used["workers"], "all": cpu_s(everybody) - used["all"]}
            each = [pss_bytes([pid]) / 2**20 for pid in workers]
            others = [pss_bytes([pid]) / 2**20 for pid in everybody if pid not in workers]
            handle.stop()
    rows = [
        [f"{len(workers)} workers together, of one core", f"{share['workers'] / seconds:.2%}", "1 %"],
        ["with supervisor and zygote, of one core", f"{share['all'] / seconds:.2%}", ""],
        ["memory of a worker (PSS), mean / most", f"{sum(each) / len(each):.1f} / {max(each):.1f} MiB", "15 MiB"],
        ["memory of supervisor and zygote (PSS)", f"{sum(others):.1f} MiB", ""],
    ]
    print(table(["looked at for " + f"{seconds} s", "found", "goal"], rows))
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
