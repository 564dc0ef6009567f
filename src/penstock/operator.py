"""The contract of operators: what a user's class may have, and the context it is given."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Protocol, TypeVar

from penstock.options import Duration, parse_duration

T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Context:
    """What user code may know about where it runs. Given to `open`, `Source.open` and `Sink.writer`."""

    __slots__ = ("_attempt", "_key", "_log", "_pipeline", "_rng", "_seed", "_slot", "_stage", "_stopping", "_workers")

    def __init__(
        self,
        *,
        pipeline: str,
        stage: str,
        slot: int,
        workers: int,
        attempt: int,
        key: Callable[[], str] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        seed: str = "",
    ) -> None:
        self._pipeline = pipeline
        self._stage = stage
        self._slot = slot
        self._workers = workers
        self._attempt = attempt
        self._log = logging.getLogger(f"penstock.user.{stage}.{slot}")
        self._key = key
        self._stopping = stopping
        self._seed = f"{seed}/{pipeline}/{stage}/{slot}/{attempt}"
        self._rng: random.Random | None = None

    @property
    def pipeline(self) -> str:
        return self._pipeline

    @property
    def stage(self) -> str:
        return self._stage

    @property
    def slot(self) -> int:
        """The seat in the stage's pool, from 0."""
        return self._slot

    @property
    def workers(self) -> int:
        """How many seats the pool has."""
        return self._workers

    @property
    def attempt(self) -> int:
        """The life of this worker in its seat, from 1."""
        return self._attempt

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines reach the user, labelled with stage and slot."""
        return self._log

    @property
    def rng(self) -> random.Random:
        """Random numbers of this slot and attempt: others than in every other slot, life and run. Not for secrets."""
        if self._rng is None:
            self._rng = random.Random(self._seed)
        return self._rng

    @property
    def stopping(self) -> bool:
        """True once the pipeline drains or stops: a long function may cut itself short."""
        return self._stopping()

    @property
    def idempotency_key(self) -> str:
        """A name of the row in work, the same on every attempt and restart. Outside a call: `RuntimeError`."""
        if self._key is None:
            raise RuntimeError("idempotency_key names the row in work; read it inside a call, not outside")
        return self._key()


class RowOperator(Protocol[T_contra, R_co]):
    """A class with `__call__(row)`; optional `open(context)` (once per worker life, first) and `close()`."""

    def __call__(self, row: T_contra, /) -> R_co: ...


class Verdict(Exception):
    """Base of what user code may raise to decide about the row in work."""


class Retry(Verdict):
    """Try this row again `after` so long, whatever `retry_on` says; it counts as one of the stage's `retries`."""

    def __init__(self, reason: str = "", *, after: Duration) -> None:
        super().__init__(reason)
        self.after_s = parse_duration(after)


class Unavailable(Exception):
    """What a stage reads from or writes to is down for now: wait, and try again `retry_after` so long.

    Raised by `open`, and by what sources and sinks open, read and write with; row functions raise `Retry`.
    The worker ends, and its successor opens anew where the last commit left off: later and later where no
    `retry_after` is given, up to 30 s. It is told, it counts as no restart, and nothing is lost. The stage fails once
    its worker has waited for longer than the option `unavailable_for` (1 hour) without getting anything done.
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
    """Set this row aside now, without further attempts."""


class Drop(Verdict):
    """Leave this row out and count it as skipped."""
