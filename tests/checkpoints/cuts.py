"""Made-up cuts for tests of stores: what they hold is said by a few bytes."""

from __future__ import annotations

from penstock.checkpoints.chunking import shared_chunks
from penstock.checkpoints.claimed import Claimed
from penstock.checkpoints.history import content
from penstock.checkpoints.manifest import ChannelCut, Cut, Holder, LogCut, Manifest, SlotCut
from penstock.checkpoints.store import CheckpointStore


def holder(pid: int = 1) -> Holder:
    return Holder(host="here", pid=pid, run_id=f"run-{pid}")


def take(claimed: Claimed, log: bytes, queue: bytes, *, savepoint: bool = False) -> Manifest:
    """A checkpoint of one log, of which only what is new is written, and one queue."""
    earlier = claimed.manifests[-1].cut.logs[0].chunks if claimed.manifests else ()
    kept, begin = shared_chunks(earlier, len(log))
    draft = claimed.begin()
    try:
        chunks = kept + (draft.lasting([log[begin:]]) if log[begin:] else ())
        cut = Cut(
            run_id="run", layout={"stage a": "unordered"}, slots=(SlotCut("a", 0, b"record"),),
            channels=(ChannelCut("a->b.0-0", 8, 8 + len(queue), draft.passing([queue])),),
            logs=(LogCut("slots/a.0/retries.0", chunks),),
        )
    except BaseException:
        draft.abandon()
        raise
    return claimed.commit(draft, cut, pipeline="clicks", taken_s=1.0, savepoint=savepoint)


def held(store: CheckpointStore, manifest: Manifest) -> tuple[bytes, bytes]:
    """Log and queue of such a checkpoint, as they are read back."""
    log = b"".join(content(store, manifest, manifest.cut.logs[0].chunks))
    return log, b"".join(content(store, manifest, manifest.cut.channels[0].chunks))
