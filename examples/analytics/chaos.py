"""Watches a run, and kills its workers at random meanwhile, to show that nothing is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from random import Random

import penstock as ps
from analytics.summary import Latency

_LOOK = "200ms"


def lenient(app: ps.Pipeline, chaos: float | None) -> Mapping[str, str]:
    """Settings for a run with so much chaos: however many deaths it brings about, they are no fault of the stages."""
    return {} if chaos is None else {f"{stage}.max_restarts": "6000/m" for stage in app.plan().stages}


def watch(
    handle: ps.Handle, chaos: float | None, seconds: float | None, latency: Latency
) -> tuple[ps.Report, int]:
    """Looks at the run until it ends, is long enough or is interrupted; the report, and how many workers it killed."""
    started = time.monotonic()
    killer = Chaos(chaos, Random(), started)
    try:
        while seconds is None or time.monotonic() < started + seconds:
            try:
                return handle.wait(timeout=_LOOK), killer.kills
            except TimeoutError:
                latency.look(handle.status())
                killer.strike(time.monotonic(), handle.worker_pids())
    except KeyboardInterrupt:
        print("draining: what is in flight is finished")
    return handle.drain(timeout="60s"), killer.kills


class Chaos:
    """One `kill -9` every so many seconds."""

    def __init__(self, every_s: float | None, rng: Random, started_s: float) -> None:
        """`every_s` None: never."""
        self.every_s = every_s
        self.rng = rng
        self.next_s = float("inf") if every_s is None else started_s + every_s
        self.kills = 0
        self.most = 0
        """Workers that lived at once."""

    def strike(self, now_s: float, pids: Sequence[int]) -> None:
        """Kills one of `pids` if it is time.

        Slots whose worker is gone are drawn, too, and missed: else the last worker of a run would get all the kills.
        """
        self.most = max(self.most, len(pids))
        if self.every_s is None or now_s < self.next_s or not pids:
            return
        self.next_s = now_s + self.every_s
        drawn = self.rng.randrange(self.most)
        if drawn >= len(pids):
            return
        try:
            os.kill(pids[drawn], signal.SIGKILL)
        except ProcessLookupError:
            return  # it left by itself since the list was made
        self.kills += 1
