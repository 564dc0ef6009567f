"""How the checkpoints of a run get on: a small file of the run directory, for whoever looks at the status."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from penstock.errors import NotPrivate
from penstock.private_files import read_own, replace_own


class CheckpointState(msgspec.Struct, frozen=True):
    """As the checkpointer left it after its last attempt."""

    store: str
    every_s: float
    id: str = ""
    """The newest checkpoint; empty: this checkpointer has made none yet."""
    taken_s: float = 0.0
    """Wall clock."""
    took_s: float = 0.0
    content_bytes: int = 0
    """All that it holds; a part is shared with those before it."""
    own_bytes: int = 0
    """What was written for it."""
    made: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    last_error: str = ""


def write_state(path: Path, state: CheckpointState) -> None:
    """For people: where there is no room for it, checkpoints go on."""
    with suppress(OSError):
        replace_own(path, msgspec.json.encode(state))


def read_state(path: Path) -> CheckpointState | None:
    """None: there is none, or nothing that can be read."""
    try:
        return msgspec.json.decode(read_own(path), type=CheckpointState)
    except (OSError, NotPrivate, msgspec.MsgspecError):
        return None
