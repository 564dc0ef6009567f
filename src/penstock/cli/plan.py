"""`penstock plan`: shows what would run, without running it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from penstock.checkpoint_options import CheckpointOptions
from penstock.cli.checkpoint_flags import checkpoint_options
from penstock.cli.directories import run_dir_option, state_dir_option
from penstock.cli.settings import gather, set_option, takes_arguments
from penstock.cli.target import load_pipeline
from penstock.engine.beginning import beginning
from penstock.terminal_text import visible_json, visible_lines


@click.command(short_help="Show what would run, and what it promises.")
@click.argument("target")
@takes_arguments
@set_option
@checkpoint_options
@run_dir_option
@state_dir_option
@click.option("--format", "form", type=click.Choice(("text", "json", "mermaid")), default="text", show_default=True)
def plan(
    target: str, arguments: tuple[str, ...], given: tuple[str, ...], checkpoint: CheckpointOptions | None,
    from_checkpoint: str, run_dir: Path | None, state_dir: Path | None, form: str,
) -> None:  # fmt: skip
    """Show what would run: stages, what is fused into them, queues and their memory, delivery promises, and where it
    would begin.
    """
    made = load_pipeline(target, arguments).plan(settings=gather(os.environ, given))
    match form:
        case "json":
            click.echo(visible_json(made.to_json()))
        case "mermaid":
            click.echo(visible_lines(made.to_mermaid()))
        case _:
            click.echo(visible_lines(made.to_text()))
            begins = beginning(
                made, run_dir=run_dir, state_dir=state_dir, checkpoint=checkpoint, from_checkpoint=from_checkpoint
            )
            click.echo(visible_lines(f"\n{begins}"))
