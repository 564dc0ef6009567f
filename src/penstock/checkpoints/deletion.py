"""Deletes checkpoints on a user's request, while a run may be adding to them.

A run builds on its newest checkpoint: it knows the files that the next one will share. So the newest is only deleted
by who claims the store first, which keeps out every run that is up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from penstock.checkpoints.claimed import claim, delete
from penstock.checkpoints.history import Reading, read_log
from penstock.checkpoints.manifest import Holder
from penstock.checkpoints.retention import Doomed, without
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import CommandRefused, NoSuchCheckpoint

_WHO = "penstock checkpoints delete"
_FORCE = "stop that run first, if it is up, and then pass --force"


def delete_checkpoints(store: CheckpointStore, ids: Sequence[str], *, force: bool = False) -> Doomed:
    """Delete them, and the files that no other one needs; what was deleted. All of them or, with an error, none.

    `force`: claim the store first. Raises `NoSuchCheckpoint`, `CommandRefused`, and as stores do.
    """
    reading = read_log(store)
    numbers = _numbers(store, reading, ids)
    if force:
        claim(store, Holder(host=os.uname().nodename, pid=os.getpid(), run_id="", run_dir=_WHO))
        reading = read_log(store)
    else:
        _require_harmless(store, reading, numbers)
    readable = {manifest.number for manifest in reading.manifests}
    doomed = without(reading.manifests, numbers, newest_too=force)
    damaged = tuple(number for number in numbers if number not in readable)
    # Others that cannot be read may need the files: who claims the store next removes those that none needs.
    files = () if len(reading.problems) > len(damaged) else doomed.files
    doomed = Doomed(tuple(sorted((*doomed.numbers, *damaged))), files)
    delete(store, doomed)
    return doomed


def _numbers(store: CheckpointStore, reading: Reading, ids: Sequence[str]) -> list[int]:
    known = {str(found.number): found.number for found in reading.found}
    for wanted in ids:
        if wanted not in known:
            raise NoSuchCheckpoint(store.where, wanted)
    return [known[wanted] for wanted in dict.fromkeys(ids)]


def _require_harmless(store: CheckpointStore, reading: Reading, numbers: Sequence[int]) -> None:
    newest = reading.numbers[-1]
    if reading.claim is not None and newest == reading.claim.number:
        who = reading.claim.holder
        raise CommandRefused(f"{store.where}: {who} has claimed this store and is about to use one of them; {_FORCE}")
    if newest in numbers:
        what = f"{newest} is the newest checkpoint, and the next one of a run that is up needs its files"
        raise CommandRefused(f"{store.where}: {what}; {_FORCE}")
