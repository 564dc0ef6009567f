"""The demonstration: runs the pipeline on files or live, kills its workers if asked to, and checks the books after.

`penstock demo` calls `main`; `python -m analytics.demo --help` does the same from this folder's parent.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):  # run as a file: its package is found beside it
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import penstock as ps
from analytics.books import check_books
from analytics.chaos import lenient, watch
from analytics.feeds import FEEDS, units_of
from analytics.findings import findings
from analytics.names import NAME
from analytics.pipeline import SAMPLE, build
from analytics.summary import Latency, shown, where
from analytics.unread import told, unread
from analytics.usage import Options, WrongUsage, check_usage, make_folder
from analytics.windows_shown import show_windows


def main(options: Options) -> int:
    """Runs once; 0 if the run finished (or was drained), every line is accounted for and every window right, else 1.

    Raises `WrongUsage` for what cannot be done.
    """
    check_usage(options)
    if options.keep is not None:
        make_folder(options.keep)
        code = _run(options, options.data or SAMPLE, options.keep)
        print(f"\n{where(options.keep)}")
        return code
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
        code = _run(options, options.data or SAMPLE, Path(folder))
    print("\nrun again with `--keep DIR` to keep the databases and the dead letters")
    return code


def _run(options: Options, data: Path, folder: Path) -> int:
    database, state_dir = folder / "analytics.duckdb", folder / "state"
    app = build(data, database, rate=options.rate, burst=options.burst)
    latency = Latency()
    with app.start(fresh=True, settings=lenient(app, options.chaos), state_dir=state_dir) as handle:
        report, kills = watch(handle, options.chaos, options.seconds, latency)
    units = None if options.rate is not None else [unit for feed in FEEDS for unit in units_of(data, feed)]
    books = check_books(database, ps.read_dead_letters(NAME, state_dir=state_dir), units)
    print(f"{shown(report, books, latency, kills)}\n\n{told(unread(data))}\n\n{findings(database)}")
    right = not books.errors and report.outcome in ("finished", "drained")
    if options.rate is None and report.outcome == "finished":
        right &= show_windows(options, data, folder)
    return 0 if right else 1


def _arguments() -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with the feeds; the shipped sample otherwise")
    parser.add_argument("--rate", help='live: lines per second and feed, as "2000/s"')
    parser.add_argument("--burst", help='live: lines per second in bursts, as "10000/s"')
    parser.add_argument("--chaos", type=float, help="kill a random worker every so many seconds")
    parser.add_argument("--keep", type=Path, help="where databases and dead letters stay")
    parser.add_argument("--seconds", type=float, help="live: so long, instead of until Ctrl-C")
    parser.add_argument("--postgres", metavar="DSN", help="store the windows in this database, too")
    parser.add_argument("--lose-machine", action="store_true", help="kill everything in the middle, and resume")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    try:
        sys.exit(main(_arguments()))
    except WrongUsage as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
