"""`penstock checkpoint NAME`: asks a run for a savepoint, which is kept until somebody deletes it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from penstock.checkpoints.requests import Answer, ask, take_answer
from penstock.cli.directories import run_dir_option
from penstock.cli.found import runs_named
from penstock.engine.rundir import FoundRun, find_runs
from penstock.errors import PenstockError
from penstock.plan.paths import RunPaths

_LOOK_S = 0.05


class NoSavepoint(PenstockError):
    """A run has no store for checkpoints, or the store failed."""


@click.command(short_help="Take a checkpoint of a running pipeline, kept until it is deleted.")
@click.argument("name")
@click.option("--timeout", "timeout_s", type=float, default=60.0, show_default=True, help="Seconds to wait for it.")
@run_dir_option
def checkpoint(name: str, timeout_s: float, run_dir: Path | None) -> None:
    """Take a checkpoint of the running pipeline NAME now, and print its id. The run continues.

    It goes to the store that the run was given with `--checkpoint`, and is kept until it is deleted. To resume from it:
    `penstock run ... --checkpoint STORE --from ID`.
    """
    for run in runs_named([run for run in find_runs(run_dir) if run.pid is not None], name):
        answer = _taken(run, timeout_s)
        if not answer.id:
            raise NoSavepoint(f"{name}: no savepoint was taken: {answer.error}")
        click.echo(answer.id)


def _taken(run: FoundRun, timeout_s: float) -> Answer:
    paths, until = RunPaths(run.path), time.monotonic() + timeout_s
    if not paths.checkpoint_bell.exists():
        raise NoSavepoint(
            f"{run.name}: this run has no store for checkpoints; give it one when it is started: --checkpoint STORE"
        )
    try:
        asked = ask(paths.checkpoint_requests, paths.checkpoint_bell)
        while time.monotonic() < until:
            answer = take_answer(paths.checkpoint_requests, asked)
            if answer is not None:
                return answer
            time.sleep(_LOOK_S)
    except OSError as exc:
        raise NoSavepoint(f"{run.name}: the run has ended meanwhile, or nobody listens ({exc.strerror})") from exc
    raise NoSavepoint(
        f"{run.name}: no answer after {timeout_s:g} s; the savepoint may still be taken (`penstock checkpoints list`)"
    )
