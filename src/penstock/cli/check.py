"""`penstock check`: lists every mistake of a pipeline without running it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import click

from penstock.cli.exit_codes import ExitCode
from penstock.cli.settings import gather, set_option, takes_arguments
from penstock.cli.target import load_pipeline
from penstock.errors import Mistake, PipelineInvalid
from penstock.pipeline import Pipeline


@click.command(short_help="List the mistakes of a pipeline.")
@click.argument("target")
@takes_arguments
@set_option
@click.pass_context
def check(ctx: click.Context, target: str, arguments: tuple[str, ...], given: tuple[str, ...]) -> None:
    """List the mistakes of the pipeline that TARGET names, each with its line and what to write instead."""
    pipeline = load_pipeline(target, arguments)
    mistakes = _mistakes(pipeline, gather(os.environ, given))
    for mistake in mistakes:
        click.echo(str(mistake))
    if mistakes:
        ctx.exit(ExitCode.USAGE)
    click.echo(f"{pipeline.name}: no mistakes")


def _mistakes(pipeline: Pipeline, settings: Mapping[str, object]) -> Sequence[Mistake]:
    """Those of the code; where it has none, those that the settings bring."""
    mistakes = pipeline.check()
    if mistakes:
        return mistakes
    try:
        pipeline.plan(settings=settings)
    except PipelineInvalid as exc:
        return exc.mistakes
    return ()
