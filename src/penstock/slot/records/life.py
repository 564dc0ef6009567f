"""What the supervisor tells a worker at birth, and what an end of it means."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from penstock.slot.records.work_page import Doing, Mark


class Exit(IntEnum):
    """Exit codes of workers. They count where the worker announced them on its page of work: user code exits, too."""

    FINISHED = 0
    FAILED = 10
    """The stage cannot continue; the reason is in the slot's `failure` file."""
    TROUBLE = 11
    """`open`, a writer or the like raised; a successor may have more luck. The reason is in `failure`."""
    CAREFUL = 12
    """A successor has to process the frame in progress row by row."""
    ORPHANED = 13
    """The supervisor is gone."""
    UNAVAILABLE = 15
    """What it reads or writes is down for now; the reason, and how long to wait, stand in `failure`."""
    STOPPED = 14
    """The supervisor asked for it."""


class Suspect(msgspec.Struct, frozen=True):
    """Work these rows in pieces, marking each and committing after each."""

    stage: int
    input: int
    sequence: int
    row: int
    count: int
    piece: int
    pause_s: float = 0.0
    """Wait so long before each call: who is killed while waiting was killed by somebody else."""

    def covers(self, mark: Mark) -> bool:
        """True when the first row of `mark` is one of these."""
        same = (self.stage, self.input, self.sequence) == mark.frame
        return same and self.row <= mark.row < self.row + self.count


class Blamed(msgspec.Struct, frozen=True):
    """This row killed or hung its worker: do not call user code for it."""

    stage: int
    input: int
    sequence: int
    row: int
    attempts: int
    reason: str
    doing: int = Doing.CALLING
    """What was being done with it. If a row could not be put into words, it must not be asked for them again."""

    @property
    def untouchable(self) -> bool:
        """True: neither decode it nor put it into words."""
        return self.doing in (Doing.DECODING, Doing.TELLING)

    @property
    def key(self) -> tuple[int, int, int, int]:
        return self.stage, self.input, self.sequence, self.row


class Crash(msgspec.Struct, frozen=True):
    """A test's order to die at a named point."""

    point: str
    row: int


class Life(msgspec.Struct, frozen=True):
    """One life of a worker."""

    group: str
    slot: int
    attempt: int
    run_id: str
    dead_letters: str
    """Folder of this run's dead letters."""
    suspect: Suspect | None = None
    careful: int = 0
    """Process this many rows one by one: what one of them gives cannot be encoded."""
    blamed: tuple[Blamed, ...] = ()
    crashes: tuple[Crash, ...] = ()
    ungathered: int = 0
    """Give this many rows to batch functions batch by batch: one of them may be to blame, and it is not known which."""
    anew: bool = False
    """True: no life of this run has committed anything. What an earlier run said against the code is forgotten."""
    log_level: int = 20
    """From this level on, log records are sent to the caller."""
    checkpointed: bool = False
    """True: the run has a checkpoint store, and the slot a `DurableWord`."""


class FailureNote(msgspec.Struct, frozen=True):
    """What a worker leaves in its `failure` file."""

    stage: str
    reason: str
    traceback: str = ""
    retry_after_s: float | None = None
    """When to try again, where what is unavailable has said so."""
    same: str = ""
    """Names the error and its place; empty for what may pass by itself, as a refused connection may."""
    attempt: int = 0
    """Which life of the slot left it."""
    error: bytes = b""
    """The exception, where it can be pickled."""
