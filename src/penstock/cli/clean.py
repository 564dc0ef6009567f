"""`penstock clean`: removes what killed and failed runs left; never dead letters, never what runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from penstock.cli.directories import run_dir_option
from penstock.cli.exit_codes import ExitCode
from penstock.cli.found import one_left, runs_named
from penstock.cli.main import show_error
from penstock.engine.rundir import FoundRun, find_runs, remove
from penstock.metrics import text
from penstock.terminal_text import visible
from penstock.working_directory import working_directory


@click.command(short_help="Remove what killed or failed runs left behind.")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove every run that was left behind, not just one.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@run_dir_option
@click.pass_context
def clean(ctx: click.Context, name: str | None, everything: bool, dry_run: bool, run_dir: Path | None) -> None:
    """Remove what a killed or failed run of NAME left. Its rows in the queues are lost; dead letters stay.

    NAME may be left out when there is only one.
    """
    runs = runs_named(find_runs(run_dir), name)
    left = [run for run in runs if run.pid is None]
    if not left:
        _nothing_left(ctx, runs if name is not None else [])
        return
    for run in left if everything else [one_left(left, Path(working_directory()))]:
        if not dry_run:
            remove(run)
        verb = "would remove" if dry_run else "removed"
        click.echo(visible(f"{verb} {run.name}: {text.size(run.size_bytes)} in {run.path}"))


def _nothing_left(ctx: click.Context, running: Sequence[FoundRun]) -> None:
    for run in running:
        show_error(f"{run.name} is running (process {run.pid}); stop it first")
        ctx.exit(ExitCode.REFUSED)
    click.echo("no run was left behind")
