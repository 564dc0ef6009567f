"""What the supervisor tells a checkpointer when it starts one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.checkpoints.this_run import ThisRun


class Told(msgspec.Struct, frozen=True):
    """What the supervisor tells a checkpointer."""

    run: ThisRun
    store: str
    every_s: float
    keep: int
    life: int
    """Its number, from 1 on."""
    last: bool
    """True: no worker lives any more; take one checkpoint, and exit."""


def told_as(told: Told) -> Mapping[str, Any]:
    """For the process's `main`, but for the socket."""
    return {"told": msgspec.msgpack.encode(told)}
