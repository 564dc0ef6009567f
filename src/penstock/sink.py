"""The contract of sinks: what a connector implements so that rows leave a pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from penstock.batch import Batch
from penstock.operator import Context
from penstock.source import Position

T_contra = TypeVar("T_contra", contravariant=True)


class Delivery(Enum):
    """What a sink guarantees if its worker is killed at any moment."""

    AT_LEAST_ONCE = 1
    KEYED = 2
    EXACTLY_ONCE = 3


class RowsRejected(Exception):
    """Raised by `Writer.write`, `Writer.flush` or `TransactionalWriter.commit`: these rows, by index, cannot be stored.

    From `write`, an index counts within that batch, and the other rows count as written. From `flush`, it counts over
    all rows written since the last flush, in order, and the other rows count as written. From `commit`, it counts over
    all rows written since the last commit, in order; the transaction was rolled back, and the engine writes the other
    rows again. An index that no row has is an error of the writer.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__(f"{len(self.reasons)} rows rejected")


class WrittenText(msgspec.Struct, frozen=True):
    """Rows as whole lines and, by index, the reasons why some rows have none."""

    data: bytes
    rejected: Mapping[int, str] = msgspec.field(default_factory=dict)


class Writer(ABC, Generic[T_contra]):
    """Writes the rows of one slot, in one thread."""

    @abstractmethod
    def write(self, batch: Batch[Any]) -> None:
        """Write the rows, in order, and hand them to the operating system before returning, or in `flush`.

        `RowsRejected` sets single rows aside. `Unavailable` makes the worker wait; any other exception restarts it.
        After either of these, the rows are written again.
        """

    def flush(self) -> None:
        """Wait until the rows written so far are with the target, if the client buffers them or sends in background.

        Called before each commit, if rows were written since the last call; never after `finish`, and not for a
        `TransactionalWriter`. `RowsRejected` sets single rows aside, and the others count as stored. An index counts
        over all rows written since the last call, in order. Other exceptions do what they do in `write`: all rows that
        were not committed are written again.
        """

    def position(self) -> Position | None:
        """Called before every commit, after `flush`; stored in the journal. None: this writer is at least once."""
        return None

    def finish(self) -> None:
        """Flush and rename for the last time, at the end of input or when draining.

        Called once per life, and again after a kill in the middle of it: a second call must be harmless. Never
        followed by `write`.
        """

    def close(self) -> None:
        """The last call, at most once; never after a kill."""


class TransactionalWriter(Writer[T_contra]):
    """A writer that stores rows and journal record in one transaction of the target."""

    @abstractmethod
    def commit(self, record: bytes) -> None:
        """Commit the rows written since the last commit together with `record`, which replaces the previous record.

        `write` only adds to the open transaction, over any number of batches. Raise `RowsRejected` if rows cannot be
        stored; then nothing was committed.
        """

    @abstractmethod
    def last_record(self) -> bytes | None:
        """Return the record of the last commit. Called once, right after opening."""


class TwoPhaseWriter(Writer[T_contra]):
    """A writer for a target that prepares a transaction, and commits it later, in whichever process.

    Only for a sink that waits for checkpoints. What is prepared must outlive a crash of the target. The engine gives
    each transaction a token. It prepares it, keeps the token in its own state, and commits once a checkpoint with that
    state is durable; a prepared transaction lives about as long as a checkpoint takes.
    """

    @abstractmethod
    def prepare(self, token: str) -> None:
        """Prepare the rows written since the last call, under a token that was not used before.

        `write` only adds to the open transaction. Raise `RowsRejected` if rows cannot be stored; then nothing was
        prepared, and the engine writes the other rows again.
        """

    @abstractmethod
    def commit(self, token: str) -> None:
        """Commit what was prepared, perhaps by a worker that was killed since. Called again if killed meanwhile.

        A token that is not pending any more was committed: that is no error.
        """

    @abstractmethod
    def abort(self, token: str) -> None:
        """Drop what was prepared: the worker that did so was killed before it could keep the token."""

    @abstractmethod
    def pending(self) -> Sequence[str]:
        """Return the tokens of all that is prepared and not committed; those of other sinks do no harm.

        Called once, right after opening. If a killed worker's `prepare` may still be on its way to the target, wait for
        it here.
        """


class Sink(ABC, Generic[T_contra]):
    """A picklable description of what to write to. The workers open it."""

    @property
    def label(self) -> str:
        """The stage's name if the user gives none; `[a-z][a-z0-9_-]*`."""
        return type(self).__name__.lower()

    @property
    def sink_label(self) -> str:
        """Used instead of `label`, so that an object that is both source and sink can have its own name as a sink."""
        return self.label

    @property
    def delivery(self) -> Delivery:
        return Delivery.AT_LEAST_ONCE

    @property
    def recovered_delivery(self) -> Delivery:
        """What it guarantees if the machine is lost, and the run resumes from a checkpoint. For `penstock plan`.

        A sink that cuts back to any earlier position is exactly once, too, and has to say so here. One that has
        stored rows for good since the checkpoint gets them once more, unless it waits for checkpoints.
        """
        if self.waits_for_checkpoint:
            return Delivery.EXACTLY_ONCE
        return Delivery.KEYED if self.delivery is Delivery.KEYED else Delivery.AT_LEAST_ONCE

    @property
    def waits_for_checkpoint(self) -> bool:
        """True: rows become visible once a checkpoint covers them that outlives the machine.

        Its writer is a `TransactionalWriter` or a `TwoPhaseWriter` then. The engine keeps rows until they are durable,
        and only then writes them. What `TransactionalWriter.commit` is given is a note of the engine's; `last_record`
        returns it, to the next worker, too.
        """
        return False

    def at_checkpoint(self) -> Sink[Any] | None:
        """Return this sink for `visible="at checkpoint"`; None: rows can only be visible at once."""
        return None

    @property
    def shared_slot(self) -> str | None:
        """Sinks with an equal `shared_slot` (the same database file) run in one slot of one worker."""
        return None

    @property
    def target(self) -> str:
        """What the sink writes to, for messages and for the layout's fingerprint."""
        return self.label

    @property
    def claims(self) -> Sequence[str]:
        """Local files and directories, by their real paths, that no other run may write to during this run."""
        return ()

    @property
    def modules(self) -> Sequence[str]:
        """Modules that opening imports. They are imported once, before workers are forked."""
        return ()

    @property
    def text(self) -> Callable[[Batch[Any]], WrittenText] | None:
        """A function that encodes rows as whole lines, if a row's text depends on nothing but the row; else None.

        The workers of the stage before then encode the rows, and `Writer.write` receives `WrittenLines`. Nothing is
        decoded only to be encoded again, and many senders share work that would overload one writer. Read once in
        every worker.
        """
        return None

    def check_sink(self) -> Sequence[str]:
        """Return problems as text, found without writing. Called once, before anything starts."""
        return ()

    def refuse(self) -> None:
        """Raise `OutputExists` if the target exists, and the user asked neither to append nor to overwrite.

        Called once per fresh run (never when a run is taken over), before any sink of the pipeline is prepared. Must
        change nothing. If this method or `prepare` raises `Unavailable`, the run waits before it starts, then calls
        the method again.
        """

    def prepare(self) -> None:
        """Delete what is to be overwritten. Called once per fresh run, after no sink has refused."""

    @abstractmethod
    def writer(self, position: Position | None, context: Context) -> Writer[T_contra]:
        """Open for writing, in the worker. First cut away what lies beyond `position` (None: a fresh run)."""


class _Discard(Sink[object]):
    @property
    def label(self) -> str:
        return "discard"

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    @property
    def recovered_delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def writer(self, position: Position | None, context: Context) -> Writer[object]:
        return _DiscardWriter()


class _DiscardWriter(Writer[object]):
    def write(self, batch: Batch[Any]) -> None:
        return None


def discard() -> Sink[object]:
    """Return a sink that drops every row, for a stream that needs no sink."""
    return _Discard()
