"""Opens a sink that waits for checkpoints: which kind of output it is, its writer says."""

from __future__ import annotations

from typing import Any

from penstock.operator import Context
from penstock.sink import Sink, TransactionalWriter, TwoPhaseWriter
from penstock.slot.output.epoch_output import EpochOutput, Place
from penstock.slot.output.two_phase_output import TwoPhaseOutput


def open_epoch_sink(sink: Sink[Any], place: Place, context: Context) -> EpochOutput:
    """Raises what the connector raises, and `TypeError` for a writer that cannot wait."""
    writer = sink.writer(None, context)
    if isinstance(writer, TwoPhaseWriter):
        return TwoPhaseOutput(sink, writer, place, context)
    if isinstance(writer, TransactionalWriter):
        return EpochOutput(sink, writer, place, context)
    raise TypeError(
        f"{type(writer).__name__}, the writer of {sink.target}, is neither a TransactionalWriter nor a TwoPhaseWriter: "
        "it cannot wait for checkpoints"
    )
