"""A pause before a row that may have killed a worker: who kills at random hits it rather than the row (`suspicion`)."""

from __future__ import annotations

from penstock.channel.bell import SAFETY_POLL_S, Bell, Waits
from penstock.slot.process.stops import Stopped
from penstock.slot.records.control import Control
from penstock.slot.time_and_chance import Clock


class Pauses:
    """Does nothing for a while."""

    def __init__(
        self, bell: Bell, waiter: Waits, control: Control, clock: Clock, look_s: float = SAFETY_POLL_S
    ) -> None:
        """`look_s`: it looks around so often even when nobody rings."""
        self._look_s = look_s
        self._now_s = clock.now_s
        self._bell = bell
        self._waiter = waiter
        self._control = control

    def pause(self, seconds: float) -> None:
        """With nothing pending. Raises `Stopped` when the supervisor asks for it meanwhile."""
        until = self._now_s() + seconds
        while (left := until - self._now_s()) > 0:
            if self._control.stopping:
                raise Stopped
            self._waiter.wait(min(left, self._look_s))
            self._bell.drain()
