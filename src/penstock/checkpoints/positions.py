"""Where a run stood that was told to end before its input was through, kept for the next run of the pipeline.

One checkpoint, in a store of its own in the state directory, without which nothing else of the run would be left. It
is taken when no worker lives any more. A run that is through with its input leaves none.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from penstock.checkpoints.claimed import claim
from penstock.checkpoints.cut import copy_run
from penstock.checkpoints.directory_store import DirectoryStore
from penstock.checkpoints.manifest import Holder, Manifest
from penstock.checkpoints.store_cut import store_cut
from penstock.checkpoints.this_run import ThisRun
from penstock.private_files import remove_directory


def store_at(place: Path, pipeline: str) -> DirectoryStore:
    """The store in such a place."""
    return DirectoryStore(place, pipeline)


def keep_positions(run: ThisRun, place: Path, copy: Callable[..., Manifest] = copy_run) -> None:
    """Raises `StoreUnavailable`, `StoreTaken`, `NotPrivate`, `QueueDamaged`, `FileUnusable`, `OSError`.

    `copy`: `copy_ended`, where bells and the like may not be there any more.
    """
    store = store_at(place, run.pipeline)
    holder = Holder(host=os.uname().nodename, pid=os.getpid(), run_id=run.run_id, run_dir=run.run_dir)
    claimed, files, facts = claim(store, holder), run.files(), run.facts()
    run.sync_outputs(0.0)
    copy(files, 1, lambda copied: store_cut(copied, facts, claimed, files.files, None))
    claimed.retain(1)


def forget_positions(place: Path) -> None:
    """The run is through, or starts over."""
    if place.is_dir():
        remove_directory(place)
        with suppress(OSError):  # those of others are in it
            place.parent.rmdir()
