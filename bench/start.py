"""How soon a pipeline works: `import penstock`, and ten slots from nothing to the first record in the sink.

    python bench/start.py           # medians of 20
    python bench/start.py --short   # medians of 5: under 20 s
    python bench/start.py --timeline   # one run of five stages, process by process
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import audit_hook
import timeline
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


def five_stages() -> None:
    """In a child that began at BENCH_BEGAN: source, three stages, sink; what all processes do goes to BENCH_EVENTS."""
    note = audit_hook.install(os.environ["BENCH_EVENTS"], "caller")
    import penstock as ps

    app = ps.Pipeline("bench-timeline")
    stream = app.source(one)
    for name in ("a", "b", "c"):
        stream = stream.stage(name).map(unchanged)
    stream.sink(arrived, name="end")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        os.environ["BENCH_NOTE"] = str(Path(folder) / "note")
        note("run() is called")
        app.run(fresh=True, progress=False, run_dir=Path(folder) / "run", state_dir=Path(folder) / "state")
        note("run() has returned")
        arrived_ns = int((Path(folder) / "note").read_text().split()[0])
    result(arrived_ns=arrived_ns)


def show_timeline() -> None:
    """One run of five stages: the timeline, and how many modules each process imports."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        notes, began = Path(folder) / "events", time.monotonic_ns()
        arrived_ns = run([sys.executable, __file__, "five_stages"], env={"BENCH_EVENTS": str(notes)})["arrived_ns"]
        events = timeline.read(notes)
    called = next(event.at_ns for event in events if event.kind == "run() is called")
    print(timeline.timeline(events, began))
    counts = ", ".join(f"{role} {count}" for role, count in timeline.imports(events).items())
    print(f"\nmodules imported: {counts}\nfirst row in the sink {(arrived_ns - called) / 1e6:.0f} ms after `run()`, "
          f"{(arrived_ns - began) / 1e6:.0f} ms after the interpreter's start\n\n{machine()}")


def child(what: str) -> dict[str, object]:
    return run([sys.executable, __file__, what], env={"BENCH_BEGAN": str(time.monotonic_ns())})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--timeline", action="store_true")
    asked = parser.parse_args()
    if asked.timeline:
        show_timeline()
        return
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
    if sys.argv[1:] in (["imported"], ["started"], ["five_stages"]):
        globals()[sys.argv[1]]()
    else:
        main()
