"""The demonstration: runs the pipeline on files or live, kills its workers if asked to, and checks the books after.

`penstock demo` calls `main`; `python -m analytics.demo --help` does the same from this folder's parent.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

if __package__ in (None, ""):  # run as a file: its package is found beside it
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import penstock as ps
from analytics.books import check_books
from analytics.chaos import Chaos
from analytics.feeds import FEEDS, units_of
from analytics.findings import findings
from analytics.names import NAME
from analytics.pipeline import SAMPLE, build
from analytics.summary import Latency, shown, where
from analytics.unread import told, unread
from analytics.usage import WrongUsage, check_usage, make_folder

_LOOK = "200ms"


def main(
    data: Path | None = None,
    rate: str | None = None,
    burst: str | None = None,
    chaos: float | None = None,
    keep: Path | None = None,
    seconds: float | None = None,
) -> int:
    """Runs once; 0 if the run finished (or was drained) and every line is accounted for, else 1.

    `data`: a folder with the feeds, else the sample. `rate`, `burst`: lines per second and feed; the feeds then run
    live, for `seconds` or until Ctrl-C. `chaos`: kill a worker every so many seconds. `keep`: where the database and
    the dead letters stay; without it they are gone at the end. Raises `WrongUsage` for what cannot be done.
    """
    check_usage(rate, burst, chaos, seconds)
    if keep is not None:
        make_folder(keep)
        code = _run(data or SAMPLE, rate, burst, chaos, keep, seconds)
        print(f"\n{where(keep)}")
        return code
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
        code = _run(data or SAMPLE, rate, burst, chaos, Path(folder), seconds)
    print("\nrun again with `--keep DIR` to keep the database and the dead letters")
    return code


def _run(
    data: Path, rate: str | None, burst: str | None, chaos: float | None, folder: Path, seconds: float | None
) -> int:
    database = folder / "analytics.duckdb"
    app = build(data, database, rate=rate, burst=burst)
    # However many deaths chaos brings about: they are no fault of the stages.
    settings = {} if chaos is None else {f"{stage}.max_restarts": "6000/m" for stage in app.plan().stages}
    latency = Latency()
    with app.start(fresh=True, settings=settings, state_dir=folder / "state") as handle:
        report, kills = _watch(handle, chaos, seconds, latency)
    units = None if rate is not None else [unit for feed in FEEDS for unit in units_of(data, feed)]
    books = check_books(database, ps.read_dead_letters(NAME, state_dir=folder / "state"), units)
    print(f"{shown(report, books, latency, kills)}\n\n{told(unread(data))}\n\n{findings(database)}")
    return 0 if not books.errors and report.outcome in ("finished", "drained") else 1


def _watch(
    handle: ps.Handle, chaos: float | None, seconds: float | None, latency: Latency
) -> tuple[ps.Report, int]:
    """Looks at the run until it ends, is long enough or is interrupted; the report, and how many workers it killed."""
    started = time.monotonic()
    killer = Chaos(chaos, Random(), started)
    try:
        while seconds is None or time.monotonic() < started + seconds:
            try:
                return handle.wait(timeout=_LOOK), killer.kills
            except TimeoutError:
                latency.look(handle.status())
                killer.strike(time.monotonic(), handle.worker_pids())
    except KeyboardInterrupt:
        print("draining: what is in flight is finished")
    return handle.drain(timeout="60s"), killer.kills


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with the feeds; the shipped sample otherwise")
    parser.add_argument("--rate", help='live: lines per second and feed, as "2000/s"')
    parser.add_argument("--burst", help='live: lines per second in bursts, as "10000/s"')
    parser.add_argument("--chaos", type=float, help="kill a random worker every so many seconds")
    parser.add_argument("--keep", type=Path, help="where database and dead letters stay")
    parser.add_argument("--seconds", type=float, help="live: so long, instead of until Ctrl-C")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main(**vars(_arguments())))
    except WrongUsage as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
