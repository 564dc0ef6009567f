"""Waits for what sinks need before a run begins, as workers do later: with back-off, told, and not for ever."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence

from penstock.errors import PenstockError
from penstock.operator import Unavailable
from penstock.supervisor.restart import Escalate, Progress, RestartPolicy

log = logging.getLogger("penstock.engine")
_LOOK_S = 0.1
_TOLD_S = 30.0


def once_it_is_there(
    ask: Callable[[], None], stage: str, *, unavailable_for_s: float, signals: Sequence[int] = ()
) -> None:
    """Call `ask` until it raises no `Unavailable`. `signals`: those heard so far, where they are only noted.

    Raises `PenstockError` after `unavailable_for_s`, `KeyboardInterrupt` or `SystemExit` where a signal comes: nothing
    was started.
    """
    policy, told_at = RestartPolicy(most=0, within_s=0), float("-inf")
    while True:
        began = time.monotonic()
        try:
            return ask()
        except Unavailable as down:
            decision = policy.unavailable(
                0, progress=Progress.NONE, lived_s=time.monotonic() - began, retry_after_s=down.retry_after_s,
                limit_s=unavailable_for_s, chance=0.5,
            )
            if isinstance(decision, Escalate):
                raise PenstockError(f"stage {stage!r}: {decision.reason}; the last time: {down}") from down
            if time.monotonic() >= told_at + _TOLD_S:
                told_at = time.monotonic()
                log.warning(
                    "stage %s waits before the run begins: %s; trying again in %.1f s "
                    "(the option `unavailable_for` of this stage allows %g s)", stage, down, decision.after_s,
                    unavailable_for_s,
                )
        _wait(decision.after_s, signals)


def _wait(seconds: float, signals: Sequence[int]) -> None:
    """In short steps: a signal that is only noted does not end a sleep."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if signals:
            raise KeyboardInterrupt if signals[0] == signal.SIGINT else SystemExit(4)
        time.sleep(min(left, _LOOK_S))
