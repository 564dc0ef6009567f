"""The contract of sources: what a connector implements so that rows enter a pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec

from penstock.batch import Batch
from penstock.operator import Context
from penstock.options import Duration

if TYPE_CHECKING:
    from penstock.operators.verb import Operator

T_co = TypeVar("T_co", covariant=True)
Position: TypeAlias = Any
"""How far a reader has read; anything that msgpack can encode."""


class EndOfSplit(Exception):
    """Raised by `Reader.read` when its split is exhausted."""


class Rejected(msgspec.Struct, frozen=True):
    """Something that a reader found and that is not a row."""

    row: Any
    """What the dead letter keeps: the bytes or text as they were read."""
    reason: str
    """Why it is not a row, and where it is: `/data/a.csv, line 7: it has 2 fields, expected 3`."""


class WithRejected(msgspec.Struct, Generic[T_co], frozen=True):
    """A batch in which some items are not rows. `rejected` has them by index; their place in `batch` is ignored.

    The error policy of the source's stage applies to each, as to a row that failed, in the same commit as the rows.
    An index that `batch` does not have is an error of the reader.
    """

    batch: Batch[T_co]
    rejected: Mapping[int, Rejected]


class Reader(ABC, Generic[T_co]):
    """Reads one split, in one worker, in one thread."""

    poll_after: Duration = "50ms"
    """How long to wait after `read` returned None, for readers without a file descriptor. `Context.wake` ends it."""

    repeatable: bool = True
    """False: opened at a position again, it gives other rows, or the same ones in another order. Read after opening.

    So it is with a pipe, where rows that were read and not committed are lost, and with a broker that sends again what
    was not acknowledged, mixed with other messages. The engine then takes no row of a successor for one that an
    earlier life knew: it passes over none, blames none for a death, and idempotency keys are new in each life.
    """

    @abstractmethod
    def read(self) -> Batch[T_co] | WithRejected[T_co] | None:
        """Return the next rows: about 256 KiB, within about 50 ms. Return None if there is nothing now.

        Called repeatedly while there is room downstream; never after it raised, nor after `close`. Raise `EndOfSplit`
        at the end. `SourceDamaged` ends the run at once, or skips the rest of the split if `Source.skips_damaged` is
        true. Any other exception restarts the worker. Report what is not a row in `WithRejected`. If a reader is seen
        to wait for rows, the rows that it returned before are committed first.
        """

    @abstractmethod
    def position(self) -> Position:
        """Called after every `read`. A reader opened at this position gives the rows that follow, in the same order.

        Only a reader that is not `repeatable` may do otherwise.
        """

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when there is more to `read`; None: ask again after `poll_after`."""
        return None

    def acknowledge(self, position: Position) -> None:
        """Rows before `position` are durable, and will not be asked for again: a broker may forget them.

        With a checkpoint store they are once a checkpoint covers the commit that they are in: it outlives the machine.
        Without one, as soon as they are committed: they are safe in the queues from any death of processes, but not
        from a loss of power. Positions grow, and some that `position` gave are left out.

        Called by the worker between two calls of `read`, in the same thread; also after `read` raised `EndOfSplit`: the
        end of a source waits up to 30 s for the checkpoint that covers its last rows. A `repeatable` reader is told of
        the position that it was opened at, too. A worker may be killed before it calls this, and rows come again then:
        a reader drops those before the position that it was opened at, and acknowledges them to its broker not before
        it is told of a later position. An exception restarts the worker; `Unavailable` makes it wait.
        """

    def watermark(self) -> datetime | float | None:
        """Return how far event time has come, as far as the source itself knows; None: the rows alone tell.

        No row that `read` returns from now on happened before this: a `datetime` with its time zone, or seconds since
        1970. Called after each `read`, where the stage gives its rows their times with `event_time`.
        """
        return None

    def close(self) -> None:
        """The last call, at most once; never after a kill."""


class Source(ABC, Generic[T_co]):
    """A picklable description of what to read. The workers open it."""

    @property
    def label(self) -> str:
        """The stage's name if the user gives none; `[a-z][a-z0-9_-]*`."""
        return type(self).__name__.lower()

    @property
    def target(self) -> str:
        """What is read, for messages and for the layout's fingerprint."""
        return self.label

    @property
    def bounded(self) -> bool:
        """True if it ends by itself."""
        return True

    @property
    def replayable(self) -> bool:
        """False if rows that were read but not committed are lost with the worker (a pipe, a socket)."""
        return True

    @property
    def journal(self) -> str:
        """Where rows are kept until they are durable, because they cannot be read again; empty: nowhere."""
        return ""

    @property
    def discover_every(self) -> Duration | None:
        """How often `splits` is called again during the run; None: never."""
        return None

    @property
    def row_type(self) -> Any:
        """The annotation of a row, `typing.Any` if unknown. It chooses the codec."""
        return Any

    @property
    def parse(self) -> Operator | None:
        """An operator that turns what the reader gives into rows; the planner puts it before the stage's own operators.

        So a record that cannot be parsed is an error of that row, under the stage's policy, and not of the source.
        `row_type` is the type of the resulting rows. None: the reader gives rows.
        """
        return None

    @property
    def skips_damaged(self) -> bool:
        """True if a split that raises `SourceDamaged` becomes one dead letter, and the other splits are read."""
        return False

    @property
    def modules(self) -> Sequence[str]:
        """Modules that opening imports. They are imported once, before workers are forked."""
        return ()

    @property
    def rows(self) -> int | None:
        """How many rows there are in all, if that is known without reading; used only for progress."""
        return None

    def check_source(self) -> Sequence[str]:
        """Return problems as text, found without reading data. Called once, before anything starts."""
        return ()

    def stamp(self) -> Any:
        """Return something that differs whenever the rows do, found without reading them. None: that is not known.

        Asked by a `lookup` that is to notice when its table has changed, in the worker.
        """
        return None

    def splits(self) -> Mapping[str, Any]:
        """Return the parts to distribute among workers, by a name that stays the same.

        Called once per fresh run, then frozen. Called again every `discover_every`, in a worker: splits with new names
        are opened from their beginning.
        """
        return {"all": None}

    def finished(self, stage: str) -> None:
        """Called once the run has finished, by the calling process: what was kept for it is needed no more.

        `stage`: the name of the source's stage. Called again where the end has to be told again. What it raises is
        logged.
        """

    @abstractmethod
    def open(self, split: Any, position: Position | None, context: Context) -> Reader[T_co]:
        """Open a split at `position` (None: at its beginning), in the worker. Called again after a restart.

        Raises `SourceDamaged` as `Reader.read` does.
        """
