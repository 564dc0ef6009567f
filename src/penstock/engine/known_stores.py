"""What is known on this machine of checkpoints in stores: a note in the state directory for each pipeline.

A store learns that a run has finished from a mark of its own (`checkpoints/finished`). Where it cannot, because it
fails just then, or because the run that finished had no store while an earlier one had, this note says so to the next
run on this machine.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import msgspec

from penstock.errors import NotPrivate
from penstock.private_files import make_private, read_own, replace_own

log = logging.getLogger("penstock.engine")


class KnownStore(msgspec.Struct, frozen=True):
    """The pipeline had a store once, whose last run is not marked as finished."""

    store: str
    over_s: float = 0.0
    """Wall clock: checkpoints taken before are of runs that are over."""


def read_known(path: Path) -> KnownStore | None:
    """None: no run here had a store, or the last one that had is marked as finished in it."""
    try:
        return msgspec.json.decode(read_own(path), type=KnownStore)
    except FileNotFoundError:
        return None
    except (OSError, NotPrivate, msgspec.MsgspecError):
        return None  # a note: without it the store alone is believed


def note_store(path: Path, store: str) -> None:
    """A run with this store begins."""
    known = read_known(path)
    if known is None or known.store != store:
        try:
            make_private(path.parent)
            replace_own(path, msgspec.json.encode(KnownStore(store)))
        except (OSError, NotPrivate) as exc:  # needed only where the store cannot be told of the end
            log.warning("which store the pipeline has cannot be noted in %s (%s)", path, exc)


def note_over(path: Path, wall_s: float) -> None:
    """A run of the pipeline has finished, and the store does not know. Nothing where no run had one."""
    known = read_known(path)
    if known is not None:
        replace_own(path, msgspec.json.encode(msgspec.structs.replace(known, over_s=wall_s)))


def forget_store(path: Path) -> None:
    """The store knows."""
    path.unlink(missing_ok=True)
    with suppress(OSError):  # those of others are in it
        path.parent.rmdir()
