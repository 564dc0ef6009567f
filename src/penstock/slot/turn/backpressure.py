"""The wait for room in queues, which is all the backpressure there is: who cannot send does not take more either."""

from __future__ import annotations

from collections.abc import Callable

from penstock.channel.bell import SAFETY_POLL_S, Bell, Sleep, Waits
from penstock.metrics.catalogue import Activity
from penstock.slot.process.stops import Stopped
from penstock.slot.records.control import Control
from penstock.slot.turn.meter import Meter


class Backpressure:
    """Lets a slot sleep until its receivers have made room."""

    def __init__(
        self, bell: Bell, waiter: Waits, meter: Meter, control: Control, look_s: float = SAFETY_POLL_S
    ) -> None:
        """`look_s`: it looks around so often even when nobody rings."""
        self._look_s = look_s
        self._bell = bell
        self._waiter = waiter
        self._meter = meter
        self._control = control

    def wait_until(self, has_room: Callable[[], bool]) -> None:
        """Raises `Stopped` when the supervisor asks for it meanwhile."""
        if has_room():
            return
        self._meter.now_doing(Activity.WAITING_FOR_OUTPUT)
        while True:
            # First "I sleep", then a look (trap 5): a reader that makes room in between sees the word and rings, or its
            # head is seen here.
            self._bell.say_asleep(Sleep.FOR_ROOM)
            if has_room():
                break
            if self._control.stopping:
                raise Stopped
            # No ring is expected to get lost; if one does, this costs two seconds and not the run.
            self._waiter.wait(self._look_s)
        self._bell.say_awake()
        self._meter.now_doing(Activity.BUSY)
