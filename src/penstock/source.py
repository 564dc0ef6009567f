"""The contract of sources: what a connector writes so that rows enter a pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from penstock.batch import Batch
from penstock.operator import Context
from penstock.options import Duration

if TYPE_CHECKING:
    from penstock.operators.operator import Operator

T_co = TypeVar("T_co", covariant=True)
Position: TypeAlias = Any
"""Where a reader stands; anything that msgpack can carry."""


class EndOfSplit(Exception):
    """Raised by `Reader.read` when its split is exhausted."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something a reader came across that is no row."""

    row: Any
    """What the dead letter keeps: the bytes or the text as they were read."""
    reason: str
    """Why it is no row, and where it stands: `/data/a.csv, line 7: it has 2 fields, expected 3`."""


@dataclass(frozen=True, slots=True)
class WithRejected(Generic[T_co]):
    """Rows, some of which are none: `rejected` says which by their index, whatever stands there in `batch`.

    Each meets the policy of the source's stage as a row that failed does, in the same commit as its neighbours.
    """

    batch: Batch[T_co]
    rejected: Mapping[int, Rejected]


class Reader(ABC, Generic[T_co]):
    """Reads one split, in one worker, in one thread."""

    poll_after: Duration = "50ms"
    """How long to wait after a `read` that gave None, for readers without a file descriptor."""

    @abstractmethod
    def read(self) -> Batch[T_co] | WithRejected[T_co] | None:
        """The next rows: about 256 KiB, within about 50 ms; None: nothing now. Raises `EndOfSplit` at the end.

        Called over and over while there is room downstream; never after it raised, nor after `close`. `SourceDamaged`
        ends the run at once, or skips the rest of the split where `Source.skips_damaged`; any other exception restarts
        the worker. What is no row goes into `WithRejected`. A reader that is seen to wait for rows gets those it gave
        before committed first.
        """

    @abstractmethod
    def position(self) -> Position:
        """Asked after every `read`: a reader opened here gives the same rows that follow, in the same order."""

    def fileno(self) -> int | None:
        """A descriptor that is readable when there is more to `read`; None: ask again after `poll_after`."""
        return None

    def acknowledge(self, position: Position) -> None:
        """Rows before `position` are durable. Called seldom, with growing positions."""

    def close(self) -> None:
        """The last call, at most once; never after a kill."""


class Source(ABC, Generic[T_co]):
    """A picklable description of a thing to read; opening happens in the workers."""

    @property
    def label(self) -> str:
        """The stage's name where the user gives none; `[a-z][a-z0-9_-]*`."""
        return type(self).__name__.lower()

    @property
    def target(self) -> str:
        """What is read, for messages and for the layout's fingerprint."""
        return self.label

    @property
    def bounded(self) -> bool:
        """True: it ends by itself."""
        return True

    @property
    def replayable(self) -> bool:
        """False: rows read but not committed die with the worker (a pipe, a socket)."""
        return True

    @property
    def discover_every(self) -> Duration | None:
        """How often `splits` is asked again while running; None: never."""
        return None

    @property
    def row_type(self) -> Any:
        """The annotation of a row, `typing.Any` where unknown; it chooses the codec."""
        return Any

    @property
    def parse(self) -> Operator | None:
        """An operator that the planner puts in front of the stage's own: what the reader gives, made into rows.

        So a record that cannot be read is an error of that row, under the stage's policy, and not of the source.
        None: the reader gives rows. `row_type` is what comes out of it.
        """
        return None

    @property
    def skips_damaged(self) -> bool:
        """True: a split that raises `SourceDamaged` becomes one dead letter, and the others are read on."""
        return False

    @property
    def modules(self) -> Sequence[str]:
        """Modules that opening imports: brought into memory once, before workers are forked."""
        return ()

    @property
    def rows(self) -> int | None:
        """How many rows there are in all, where that is known without reading; for progress only."""
        return None

    def check(self) -> Sequence[str]:
        """Problems in words, found without reading data. Called once, before anything starts."""
        return ()

    def check_as_source(self) -> Sequence[str]:
        """What is asked in place of `check`, so that a thing of both roles can tell its problems in this one."""
        return self.check()

    def splits(self) -> Mapping[str, Any]:
        """The parts that workers share out, by a name that stays; called once per fresh run, then frozen.

        Called again every `discover_every`, in a worker: names not seen before are opened from their beginning.
        """
        return {"all": None}

    @abstractmethod
    def open(self, split: Any, position: Position | None, context: Context) -> Reader[T_co]:
        """Open a split at `position` (None: at its beginning), in the worker. Called again after a restart.

        Raises `SourceDamaged` as `Reader.read` does.
        """
