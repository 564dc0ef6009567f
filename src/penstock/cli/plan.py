"""`penstock plan`: shows what would run, without running it."""

from __future__ import annotations

import os

import click

from penstock.cli.settings import gather, set_option, takes_arguments
from penstock.cli.target import load_pipeline
from penstock.terminal_text import visible_json, visible_lines


@click.command(short_help="Show what would run, and what it promises.")
@click.argument("target")
@takes_arguments
@set_option
@click.option("--format", "form", type=click.Choice(("text", "json", "mermaid")), default="text", show_default=True)
def plan(target: str, arguments: tuple[str, ...], given: tuple[str, ...], form: str) -> None:
    """Show what would run: stages, what is fused into them, queues and their memory, delivery promises."""
    made = load_pipeline(target, arguments).plan(settings=gather(os.environ, given))
    match form:
        case "json":
            click.echo(visible_json(made.to_json()))
        case "mermaid":
            click.echo(visible_lines(made.to_mermaid()))
        case _:
            click.echo(visible_lines(made.to_text()))
