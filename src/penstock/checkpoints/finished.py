"""Marks a run's checkpoints as those of a run that is over: nobody resumes from them unasked.

Put when the report is about to be given. Before that, what a lost machine leaves is a checkpoint that says that all is
done: the next run restores it, begins nothing again, and gives the report.
"""

from __future__ import annotations

import uuid

from penstock.checkpoints.history import entry_name, read_log
from penstock.checkpoints.manifest import Finished, encode_entry
from penstock.checkpoints.store import CheckpointStore


def mark_finished(store: CheckpointStore, number: int, lineage: int, wall_s: float) -> bool:
    """`number`: of the run's last checkpoint, which says that all is done; `lineage`: under which it was made.

    False: somebody has claimed the store since, and resumes from it. Raises as stores do.
    """
    reading = read_log(store)
    newest = reading.found[-1] if reading.found else None
    if reading.over >= number:
        return True  # by an earlier report of the same run, whose directory was not removed
    if reading.numbers[-1:] != (number,) or newest is None or newest.manifest is None:
        return False
    if newest.manifest.lineage != lineage:
        return False
    mark = Finished(number=number + 1, lineage=lineage, attempt=uuid.uuid4().hex, finished_s=wall_s)
    return store.create(entry_name(mark.number), encode_entry(mark)) or read_log(store).over >= number
