"""`penstock demo`: runs the reference application, from the installed package or from the source tree."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import click

import penstock
from penstock.errors import ExtraMissing, PenstockError
from penstock.program import Program, import_program
from penstock.working_directory import working_directory

_MODULE = "analytics.demo"


class DemoMissing(PenstockError):
    """This installation came without the reference application."""


@click.command(short_help="Run the example application on sample data.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Read the feeds in this directory instead of the bundled sample.")
@click.option("--rate", metavar="R", help="Live: replay this many lines per second from each feed, such as 1000/s.")
@click.option("--burst", metavar="B", help="Live: add bursts at this rate, such as 4000/s.")
@click.option("--seconds", type=float, metavar="S", help="Live: stop after S seconds. Default: on Ctrl-C.")
@click.option("--chaos", type=float, metavar="N", help="Kill a random worker every N seconds.")
@click.option("--postgres", metavar="DSN",
              help="Store the windows in PostgreSQL, too; overwrites tables in the schema penstock_demo.")
@click.option("--lose-machine", is_flag=True,
              help="Kill everything while the windows are computed, delete its memory, and resume from a checkpoint.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep the results in this directory.")
@click.pass_context
def demo(
    ctx: click.Context, data: Path | None, rate: str | None, burst: str | None, seconds: float | None,
    chaos: float | None, postgres: str | None, lose_machine: bool, keep: Path | None,
) -> None:
    """Run the reference application: four real feeds parsed, enriched, scored and stored in DuckDB.

    Then the same feeds in windows by event time: sessions, hours, bars of a second, error rates.
    """
    _require("standard", "duckdb", "pyarrow")
    if postgres is not None:
        _require("postgres", "psycopg")
    sys.path.insert(0, str(find_examples(Path(penstock.__path__[0]))))
    # As a program, so that the workers import the same module under the same name.
    module: Any = import_program(Program(None, _MODULE, tuple(sys.path), working_directory()))
    options = module.Options(data=data, rate=rate, burst=burst, seconds=seconds, chaos=chaos, postgres=postgres,
                             lose_machine=lose_machine, keep=keep)
    ctx.exit(int(module.main(options)))


def _require(extra: str, *packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ExtraMissing(package, extra)


def find_examples(package: Path) -> Path:
    """The directory that holds `analytics`: in the package, else in the tree that it is developed in."""
    places = [package / "examples", package.parents[1] / "examples"]
    for place in places:
        if (place / "analytics" / "demo.py").is_file():
            return place
    raise DemoMissing(f"the reference application is not in {places[0]}; reinstall penstock")
