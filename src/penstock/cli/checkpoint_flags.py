"""`--checkpoint STORE` and what goes with it, as `penstock run` has them; the same as `run(checkpoint=...)`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from penstock.checkpoint_options import checkpoint as checkpoints_in


def checkpoint_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the flags; the command is given `checkpoint` and `from_checkpoint`."""

    @click.option("--checkpoint", "store", metavar="STORE", help="Take checkpoints: a path, file:///..., s3://...")
    @click.option("--checkpoint-every", "every", metavar="TIME", help="How often; 1s by default.")
    @click.option("--checkpoint-keep", "keep", type=int, metavar="N", help="How many to keep; 3 by default.")
    @click.option("--checkpoint-max-age", "max_age", metavar="TIME", help="Stop when the newest one is older.")
    @click.option("--from", "from_checkpoint", default="", metavar="ID", help="Resume from this checkpoint.")
    @functools.wraps(command)
    def wrapped(
        *, store: str | None, every: str | None, keep: int | None, max_age: str | None, from_checkpoint: str,
        **others: Any,
    ) -> None:
        if store is None and (every or keep or max_age or from_checkpoint):
            raise click.UsageError("these need a store: add --checkpoint STORE")
        if from_checkpoint and others.get("fresh"):
            raise click.UsageError("--fresh starts over, --from resumes: give one of them")
        given = None
        if store is not None:
            asked: dict[str, Any] = {"every": every, "keep": keep, "max_age": max_age}
            try:
                given = checkpoints_in(store, **{name: value for name, value in asked.items() if value is not None})
            except ValueError as exc:
                raise click.UsageError(str(exc)) from exc
        command(checkpoint=given, from_checkpoint=from_checkpoint, **others)

    return wrapped
