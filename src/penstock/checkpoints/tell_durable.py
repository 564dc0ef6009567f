"""The way back: slots are told which of their commits a checkpoint covers that is durable now."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from penstock.channel.words import fence
from penstock.checkpoints.cut import Copied, RunFiles
from penstock.checkpoints.run_shape import SlotFiles
from penstock.slot.records.durable_word import DurableWord


def tell_durable(run: RunFiles, copied: Copied) -> None:
    """The cut is durable. Whoever dies before this leaves it to the next checkpoint, which covers as much and more.

    Raises `QueueDamaged`, `FileUnusable`.
    """
    told = []
    for slot, record in zip(copied.slots, copied.records, strict=True):
        if slot.caller:  # the calling process has nothing to acknowledge
            continue
        with closing(DurableWord(slot.durable(run.paths), run.opening)) as word:
            if word.raise_to(record.number):
                told.append(slot)
    # As after every publish: a slot that sleeps either sees its word, or is seen asleep.
    fence()
    _ring(run, told)


def _ring(run: RunFiles, told: Sequence[SlotFiles]) -> None:
    for slot in told:
        with closing(run.bell_of(slot.bell(run.paths))) as bell:
            if bell.asleep:
                bell.ring()
