"""Kills workers at random, to show that nothing is lost; the demo asks it between two looks at the pipeline."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from random import Random


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
