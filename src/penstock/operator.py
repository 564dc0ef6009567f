"""The contract of operators: what a user's class may define, and the context that it receives."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import msgspec

from penstock.options import Duration, parse_duration

T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)


def _no_row_in_progress() -> str:
    raise RuntimeError("idempotency_key names the row in progress; read it inside a call, not outside")


class Hooks(msgspec.Struct, frozen=True):
    """What a context asks of its worker. Without one, nothing stops and nobody is woken."""

    key: Callable[[], str] = _no_row_in_progress
    """The name of the row in progress."""
    stopping: Callable[[], bool] = lambda: False
    wake: Callable[[], None] = lambda: None
    checkpointed: bool = False


_NO_WORKER = Hooks()


class Context:
    """What user code may know about where it runs. Passed to `open`, `Source.open` and `Sink.writer`."""

    __slots__ = ("_attempt", "_hooks", "_log", "_pipeline", "_rng", "_run_id", "_slot", "_stage", "_workers")

    def __init__(
        self,
        *,
        pipeline: str,
        stage: str,
        slot: int,
        workers: int,
        attempt: int,
        run_id: str = "",
        hooks: Hooks = _NO_WORKER,
    ) -> None:
        self._pipeline = pipeline
        self._stage = stage
        self._slot = slot
        self._workers = workers
        self._attempt = attempt
        self._log = logging.getLogger(f"penstock.user.{stage}.{slot}")
        self._hooks = hooks
        self._run_id = run_id
        self._rng: random.Random | None = None

    @property
    def pipeline(self) -> str:
        return self._pipeline

    @property
    def run_id(self) -> str:
        """The name of this run: the same in all its workers and restarts, and new whenever a run begins afresh."""
        return self._run_id

    @property
    def stage(self) -> str:
        return self._stage

    @property
    def slot(self) -> int:
        """The number of this slot in the stage's pool, from 0."""
        return self._slot

    @property
    def workers(self) -> int:
        """How many slots the pool has."""
        return self._workers

    @property
    def attempt(self) -> int:
        """The number of this worker's life in its slot, from 1."""
        return self._attempt

    @property
    def checkpointed(self) -> bool:
        """True: the run has a checkpoint store, so that what a reader is told to acknowledge outlives the machine."""
        return self._hooks.checkpointed

    @property
    def log(self) -> logging.Logger:
        """A logger whose records reach the user, labelled with stage and slot."""
        return self._log

    @property
    def rng(self) -> random.Random:
        """Random numbers of this slot and attempt. They differ in every other slot, life and run. Not for secrets."""
        if self._rng is None:
            seed = f"{self._run_id}/{self._pipeline}/{self._stage}/{self._slot}/{self._attempt}"
            self._rng = random.Random(seed)
        return self._rng

    @property
    def stopping(self) -> bool:
        """True once the pipeline drains or stops, so that a long function can finish early."""
        return self._hooks.stopping()

    def wake(self) -> None:
        """Have `Reader.read` called soon, because there is something to read.

        For readers whose client has a thread or an event loop of its own. Never blocks, and may be called from any
        thread, any number of times, for as long as the reader is not closed.
        """
        self._hooks.wake()

    @property
    def idempotency_key(self) -> str:
        """A key of the row in progress, the same on every attempt and restart. Raises `RuntimeError` outside a call.

        In the stage of a source whose reader is not `repeatable`, it is new after each restart.
        """
        return self._hooks.key()


class RowOperator(Protocol[T_contra, R_co]):
    """A class with `__call__(row)`, and optionally `open(context)` (first, once per worker life) and `close()`."""

    def __call__(self, row: T_contra, /) -> R_co: ...


class KeyProcess(Protocol[T_contra, S_contra, R_co]):
    """What `process` is given: `__call__(row, state)`, and optionally what a class may have, as `process` says."""

    def __call__(self, row: T_contra, state: S_contra, /) -> Iterable[R_co] | None: ...


class Verdict(Exception):
    """Base class of what user code may raise to decide about the row in progress."""


class Retry(Verdict):
    """Retry this row after the delay `after`, whatever `retry_on` says. Counts as one of the stage's `retries`."""

    def __init__(self, reason: str = "", *, after: Duration) -> None:
        super().__init__(reason)
        self.after_s = parse_duration(after)


class Unavailable(Exception):
    """What a stage reads from or writes to is down for now: wait, and try again after `retry_after`.

    Raise it in `open`, and in the methods of sources and sinks that open, read and write. In a row function, raise
    `Retry` instead. The worker exits, and its successor opens everything again and resumes from the last commit.
    Without `retry_after` the delay grows, up to 30 s. The wait is reported, does not count as a restart, and loses
    nothing. The stage fails once its worker has waited for longer than the option `unavailable_for` (1 hour) without
    getting anything done.
    """

    def __init__(self, reason: str = "", *, retry_after: Duration | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = None if retry_after is None else parse_duration(retry_after)

    def __reduce__(self) -> tuple[Callable[..., Unavailable], tuple[str, float | None]]:
        return _unavailable, (str(self), self.retry_after_s)


def _unavailable(reason: str, retry_after_s: float | None) -> Unavailable:
    made = Unavailable(reason)
    made.retry_after_s = retry_after_s
    return made


class Reject(Verdict):
    """Set this row aside now, without retries."""


class Drop(Verdict):
    """Drop this row and count it as skipped."""
