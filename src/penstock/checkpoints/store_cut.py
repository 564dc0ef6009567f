"""Writes a cut to a store: frames and files as they are, of logs only what the checkpoint before does not have."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.byte_files import Files
from penstock.channel.kept_files import size_of
from penstock.checkpoints.chunking import shared_chunks
from penstock.checkpoints.claimed import Claimed
from penstock.checkpoints.cut import Copied, length_there, pieces
from penstock.checkpoints.draft import Draft
from penstock.checkpoints.manifest import ChannelCut, Chunks, Cut, FileCut, LogCut, Manifest, SlotCut
from penstock.slot.records.record import decode_record, encode_record


class RunFacts(msgspec.Struct, frozen=True):
    """What a checkpoint says of a run besides what was copied; it does not change while the run is up."""

    pipeline: str
    run_id: str
    layout: dict[str, str]
    """The plan's fingerprint."""
    membership: bytes
    splits: bytes


def store_cut(
    copied: Copied, facts: RunFacts, claimed: Claimed, files: Files, before: Manifest | None, *, savepoint: bool = False
) -> Manifest:
    """Make the cut a checkpoint. `before`: one of this very run, whose logs this one continues.

    Raises `StoreUnavailable`, `StoreTaken`, and `QueueDamaged` for a file of the cut that is gone.
    """
    draft = claimed.begin()
    try:
        earlier = {log.path: log.chunks for log in before.cut.logs} if before is not None else {}
        cut = Cut(
            run_id=facts.run_id, layout=facts.layout, membership=facts.membership, splits=facts.splits,
            slots=tuple(
                SlotCut(slot.group, slot.number, encode_record(record))
                for slot, record in zip(copied.slots, copied.records, strict=True)
            ),
            channels=tuple(_channel(copied, place, draft) for place in range(len(copied.queues))),
            logs=_logs(copied, draft, files, earlier),
            files=tuple(
                FileCut(whole.name, draft.passing(pieces(files, whole.path, 0, size_of(files, whole.path))))
                for whole in copied.whole
            ),
        )
    except BaseException:
        draft.abandon()
        raise
    return claimed.commit(draft, cut, pipeline=facts.pipeline, taken_s=copied.taken_s, savepoint=savepoint)


def _channel(copied: Copied, place: int, draft: Draft) -> ChannelCut:
    queue = copied.queues[place]
    chunks = draft.passing([queue.data]) if queue.data else ()
    return ChannelCut(queue.backlog.name, queue.backlog.head, queue.backlog.tail, chunks)


def _logs(copied: Copied, draft: Draft, files: Files, earlier: dict[str, Chunks]) -> tuple[LogCut, ...]:
    found: list[LogCut] = []
    for log in copied.logs:
        length = length_there(files, log)
        kept, begin = shared_chunks(earlier.get(log.name, ()), length)
        new = draft.lasting(pieces(files, log.file.path, begin, length - begin)) if begin < length else ()
        found.append(LogCut(log.name, kept + new))
    return tuple(found)


def same_history(manifests: Sequence[Manifest], run_id: str, lineage: int) -> Manifest | None:
    """The newest checkpoint of this very run since its last restore: its logs are the beginnings of what is there now.

    `lineage`: that of the run's records.
    """
    for manifest in reversed(manifests):
        if manifest.cut.run_id == run_id and lineage_of(manifest) == lineage:
            return manifest
    return None


def lineage_of(manifest: Manifest) -> int:
    """That of the records in a checkpoint. Raises `MsgspecError` for records of another version."""
    return max((decode_record(slot.record).lineage for slot in manifest.cut.slots), default=0)
