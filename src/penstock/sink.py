"""The contract of sinks: what a connector writes so that rows leave a pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from penstock.batch import Batch
from penstock.operator import Context
from penstock.source import Position

T_contra = TypeVar("T_contra", contravariant=True)


class Delivery(Enum):
    """What a sink promises when its worker dies at any moment."""

    AT_LEAST_ONCE = 1
    KEYED = 2
    EXACTLY_ONCE = 3


class RowsRejected(Exception):
    """Raised by `Writer.write` or `TransactionalWriter.commit`: these rows cannot be stored, by their index.

    From `write`: index in that batch; the other rows count as written. From `commit`: index over all rows written
    since the last commit, in order; the transaction was rolled back, the engine writes the others again.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__(f"{len(self.reasons)} rows rejected")


@dataclass(frozen=True, slots=True)
class WrittenText:
    """Rows as whole lines, and why some rows have none, by their index."""

    data: bytes
    rejected: Mapping[int, str] = field(default_factory=dict)


class Writer(ABC, Generic[T_contra]):
    """Writes for one slot, in one thread."""

    @abstractmethod
    def write(self, batch: Batch[Any]) -> None:
        """Write the rows, in order, and hand them to the operating system before returning.

        `RowsRejected` sets single rows aside. `Unavailable` has the worker wait. Any other exception restarts it. After
        both, the rows are written again.
        """

    def position(self) -> Position | None:
        """Asked after every `write`; goes into the journal. None: this writer is at least once."""
        return None

    def finish(self) -> None:
        """End of input, or drain: final flush and rename. Called once per life, again after a kill in the middle
        of it: a second call must be harmless. Never followed by `write`."""

    def close(self) -> None:
        """The last call, at most once; never after a kill."""


class TransactionalWriter(Writer[T_contra]):
    """A writer whose rows and journal record become visible in one transaction of the target."""

    @abstractmethod
    def commit(self, record: bytes) -> None:
        """Commit the rows written since the last commit together with `record`, replacing the record before.

        `write` only added to the open transaction, over any number of batches. `RowsRejected`: nothing was committed.
        """

    @abstractmethod
    def last_record(self) -> bytes | None:
        """The record of the last commit; asked once, right after opening."""


class Sink(ABC, Generic[T_contra]):
    """A picklable description of a thing to write; opening happens in the workers."""

    @property
    def label(self) -> str:
        """The stage's name where the user gives none; `[a-z][a-z0-9_-]*`."""
        return type(self).__name__.lower()

    @property
    def sink_label(self) -> str:
        """What is asked in place of `label`, so that a thing of both roles can have a name in this one."""
        return self.label

    @property
    def delivery(self) -> Delivery:
        return Delivery.AT_LEAST_ONCE

    @property
    def shared_slot(self) -> str | None:
        """Sinks with an equal one (the same database file) run in one slot of one worker."""
        return None

    @property
    def target(self) -> str:
        """What is written to, for messages and for the layout's fingerprint."""
        return self.label

    @property
    def claims(self) -> Sequence[str]:
        """Local files and directories, by their real paths, that no other run may write to meanwhile."""
        return ()

    @property
    def modules(self) -> Sequence[str]:
        """Modules that opening imports: brought into memory once, before workers are forked."""
        return ()

    @property
    def text(self) -> Callable[[Batch[Any]], WrittenText] | None:
        """Rows as the whole lines that are written, where a row's text depends on nothing but the row; else None.

        Then the workers of the stage before encode, and `Writer.write` is given `WrittenLines`: nothing is decoded
        only to be encoded again, and what one writer cannot do in time, many senders do. Asked once in every worker.
        """
        return None

    def check(self) -> Sequence[str]:
        """Problems in words, found without writing. Called once, before anything starts."""
        return ()

    def check_as_sink(self) -> Sequence[str]:
        """What is asked in place of `check`, so that a thing of both roles can tell its problems in this one."""
        return self.check()

    def refuse(self) -> None:
        """Raise `OutputExists` where the target is there and was not told to be appended to or overwritten.

        Called once per fresh run (never at a take-over), before any sink of the pipeline is prepared. Changes nothing.
        `Unavailable` has the run wait before it begins, and this called again; so it is with `prepare`.
        """

    def prepare(self) -> None:
        """Make away with what is to be overwritten. Called once per fresh run, when no sink has refused."""

    @abstractmethod
    def writer(self, position: Position | None, context: Context) -> Writer[T_contra]:
        """Open for writing, in the worker; first cut away what lies beyond `position` (None: a fresh run)."""


class _Discard(Sink[object]):
    @property
    def label(self) -> str:
        return "discard"

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def writer(self, position: Position | None, context: Context) -> Writer[object]:
        return _DiscardWriter()


class _DiscardWriter(Writer[object]):
    def write(self, batch: Batch[Any]) -> None:
        return None


def discard() -> Sink[object]:
    """A sink that drops every row, for a stream that is left without one on purpose."""
    return _Discard()
