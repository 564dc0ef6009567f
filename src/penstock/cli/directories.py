"""Where runs and dead letters lie, as the user said it: `--run-dir` and `--state-dir`, or their variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def run_dir_option(command: F) -> F:
    """`--run-dir`, else `PENSTOCK_RUN_DIR`, else None: the default place."""
    return click.option(
        "--run-dir", envvar="PENSTOCK_RUN_DIR", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
        help="Where runs keep their queues. Default: /dev/shm. [env: PENSTOCK_RUN_DIR]",
    )(command)  # fmt: skip


def state_dir_option(command: F) -> F:
    """`--state-dir`, else `PENSTOCK_STATE_DIR`, else None: the default place."""
    return click.option(
        "--state-dir", envvar="PENSTOCK_STATE_DIR", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
        help="Where dead letters are kept. Default: ~/.local/state/penstock. [env: PENSTOCK_STATE_DIR]",
    )(command)  # fmt: skip
