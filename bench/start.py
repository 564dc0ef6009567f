"""How soon a pipeline works: `import penstock`, and ten slots from nothing to the first record in the sink.

    python bench/start.py           # medians of 20
    python bench/start.py --short   # medians of 5: under 20 s
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measure import machine, medians, result, run, table

WORKERS = 8
HEAVY = ("numpy", "pyarrow", "pandas", "polars", "duckdb")


def imported() -> None:
    """In a child: the import, and what it brings along."""
    before, began = set(sys.modules), time.perf_counter()
    import penstock  # noqa: F401

    seconds = time.perf_counter() - began
    result(ms=seconds * 1e3, heavy=[name for name in HEAVY if name in set(sys.modules) - before])


def one() -> Iterator[int]:
    yield 1


def unchanged(number: int) -> int:
    return number


def arrived(number: int) -> None:
    """The sink: notes when, and what its process has imported."""
    heavy = " ".join(name for name in HEAVY if name in sys.modules)
    Path(os.environ["BENCH_NOTE"]).write_text(f"{time.monotonic_ns()} {heavy}")


def started() -> None:
    """In a child that began at BENCH_BEGAN: source, eight workers, sink."""
    import penstock as ps

    app = ps.Pipeline("bench-start")
    app.source(one).stage("work", workers=WORKERS).map(unchanged).sink(arrived, name="end")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        os.environ["BENCH_NOTE"] = str(Path(folder) / "note")
        calling = time.monotonic_ns()
        app.run(fresh=True, progress=False, run_dir=Path(folder) / "run", state_dir=Path(folder) / "state")
        at, *heavy = (Path(folder) / "note").read_text().split()
    began = int(os.environ["BENCH_BEGAN"])
    result(all_ms=(int(at) - began) / 1e6, run_ms=(int(at) - calling) / 1e6, heavy=heavy)


def child(what: str) -> dict[str, object]:
    return run([sys.executable, __file__, what], env={"BENCH_BEGAN": str(time.monotonic_ns())})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    asked = parser.parse_args()
    measures = {"import": lambda: child("imported"), "start": lambda: child("started")}
    found = medians(measures, 5 if asked.short else 20)
    heavy = [name for measured in found.values() for name in measured["heavy"]]
    rows = [
        ["`import penstock`", f"{found['import']['ms']:.0f}", "80"],
        ["ten slots, from `run()` to the first record in the sink", f"{found['start']['run_ms']:.0f}", ""],
        ["the same, from the start of the interpreter", f"{found['start']['all_ms']:.0f}", "500"],
    ]
    print(table(["", "ms", "goal"], rows))
    print(f"\nimported on the way of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}\n\n{machine()}")


if __name__ == "__main__":
    if sys.argv[1:] in (["imported"], ["started"]):
        globals()[sys.argv[1]]()
    else:
        main()
