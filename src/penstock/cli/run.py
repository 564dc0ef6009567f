"""`penstock run`: runs a pipeline to its end; the report goes to stderr, the exit code tells how it ended."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from penstock.checkpoint_options import CheckpointOptions
from penstock.cli import exit_codes, logs
from penstock.cli.checkpoint_flags import checkpoint_options
from penstock.cli.directories import run_dir_option, state_dir_option
from penstock.cli.exit_codes import ExitCode
from penstock.cli.main import show_error, tell
from penstock.cli.settings import gather, set_option, takes_arguments
from penstock.cli.target import load_pipeline
from penstock.engine import engine  # noqa: F401  here, while the path is penstock's own; see `target`
from penstock.errors import PenstockError, PipelineFailed
from penstock.pipeline import Pipeline
from penstock.report import Report
from penstock.standard_streams import is_terminal


@click.command(short_help="Run a pipeline to its end.")
@click.argument("target")
@takes_arguments
@set_option
@click.option("--fresh", is_flag=True, help="Discard what an earlier run left instead of resuming it.")
@checkpoint_options
@run_dir_option
@state_dir_option
@click.option("--log-level", type=click.Choice(logs.LEVELS), default="info", show_default=True)
@click.option("--json-logs", is_flag=True, help="Write log lines and the report as JSON, one object per line.")
@click.option("--no-progress", is_flag=True, help="Do not show progress.")
@click.option("--strict", is_flag=True, help="Exit with 6 if rows became dead letters or were skipped.")
@click.pass_context
def run(
    ctx: click.Context, target: str, arguments: tuple[str, ...], given: tuple[str, ...], fresh: bool,
    checkpoint: CheckpointOptions | None, from_checkpoint: str,
    run_dir: Path | None, state_dir: Path | None, log_level: str, json_logs: bool, no_progress: bool, strict: bool,
) -> None:  # fmt: skip
    """Run the pipeline that TARGET names: clicks.py or package.module, optionally followed by :app. The program finds
    ARGUMENTS in sys.argv.

    Ctrl-C drains it: sources stop, and rows in flight finish. A second Ctrl-C stops it at once.
    """
    progress = not no_progress and not json_logs
    logs.configure(sys.stderr, level=log_level, as_json=json_logs, clear_line=progress and is_terminal(sys.stderr))
    try:
        pipeline = load_pipeline(target, arguments)
        settings = gather(os.environ, given)
        report = _run(
            pipeline, settings=settings, fresh=fresh, run_dir=run_dir, state_dir=state_dir, progress=progress,
            checkpoint=checkpoint, from_checkpoint=from_checkpoint,
        )
    except PenstockError as exc:
        if isinstance(exc, PipelineFailed) and exc.report.stages:
            _tell_report(exc.report, as_json=json_logs)
        _tell_error(str(exc), as_json=json_logs)
        ctx.exit(exit_codes.of_error(exc))
    except CutShort as exc:
        if exc.report is not None:
            _tell_report(exc.report, as_json=json_logs)
        _tell_error(str(exc), as_json=json_logs)
        ctx.exit(ExitCode.UNDELIVERED if exc.stopped else ExitCode.CUT_SHORT)
    except KeyboardInterrupt:
        if not json_logs:
            raise  # `main` tells it
        _tell_error("interrupted", as_json=True)
        ctx.exit(ExitCode.INTERRUPTED)
    _tell_report(report, as_json=json_logs)
    ctx.exit(exit_codes.of_report(report, strict=strict))


_FROM_THE_BEGINNING = "the next run starts from the beginning"
_RESUMES = "the next run resumes from there (`--fresh` starts over)"


class CutShort(Exception):
    """A signal ended a run: a bounded pipeline was drained before the end of its input, or any was stopped."""

    def __init__(self, pipeline: str, report: Report | None) -> None:
        self.report = report
        self.stopped = report is not None and report.outcome == "stopped"
        resumes = report is not None and report.resumes
        following = _RESUMES if resumes else _FROM_THE_BEGINNING
        if report is None:
            how = "ended by a signal before anything ran"
        elif self.stopped:
            kept = "rows in progress are kept" if resumes else "rows in progress were dropped"
            how = f"stopped; {kept}; {following}"
        else:
            how = f"drained before the end of its input; every row that it had read was delivered; {following}"
        super().__init__(f"{pipeline} was {how}")


def _run(pipeline: Pipeline, **options: Any) -> Report:
    try:
        return pipeline.run(**options)
    except (KeyboardInterrupt, SystemExit) as exc:
        report = getattr(exc, "report", None)
        if report is None and isinstance(exc, KeyboardInterrupt):
            raise  # nothing ran yet
        raise CutShort(pipeline.name, report) from exc


def _tell_report(report: Report, *, as_json: bool) -> None:
    tell(report.to_json() if as_json else str(report))


def _tell_error(message: str, *, as_json: bool) -> None:
    if as_json:
        logging.getLogger("penstock").error(message)
    else:
        show_error(message)
