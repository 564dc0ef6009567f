"""A run has finished and its report is about to be given: from here on nobody resumes from its checkpoints."""

from __future__ import annotations

import logging
import time

from penstock.checkpoint_options import CheckpointOptions
from penstock.checkpoints.finished import mark_finished
from penstock.checkpoints.stores import open_store
from penstock.engine.deployment import Deployment
from penstock.engine.known_stores import forget_store, note_over
from penstock.errors import NotPrivate, StoreUnavailable
from penstock.supervisor.protocol import Ended

log = logging.getLogger("penstock.engine")


def tell_store(deployment: Deployment, ended: Ended) -> None:
    """Right before the run directory goes. What the store cannot be told is noted in the state directory."""
    wanted, pipeline = deployment.checkpoint, deployment.plan.pipeline
    why = "its last checkpoint was not made"
    if wanted is not None and ended.last_checkpoint is not None:
        try:
            if _marked(wanted, pipeline, ended.last_checkpoint):
                forget_store(deployment.known_store)
                return
            why = "another run has claimed it since"
        except (StoreUnavailable, NotPrivate) as exc:
            why = str(exc)
    if wanted is not None:
        log.warning(
            "the run has finished, and the store %s cannot be told (%s): runs on other machines would resume from its "
            "newest checkpoint; give them --fresh", wanted.store, why,
        )
    try:
        note_over(deployment.known_store, time.time())
    except (OSError, NotPrivate) as exc:
        log.warning("that the run has finished cannot be noted in %s (%s)", deployment.known_store, exc)


def _marked(wanted: CheckpointOptions, pipeline: str, last: tuple[int, int]) -> bool:
    store = open_store(wanted.store, pipeline)
    try:
        number, lineage = last
        return mark_finished(store, number, lineage, time.time())
    finally:
        store.close()
