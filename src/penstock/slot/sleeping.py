"""How a slot sleeps while there is nothing to do: rung by neighbours, woken by descriptors, or by the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.channel.bell import Bell, Sleep, Waits
from penstock.metrics.catalogue import Activity
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.slot_stage import SlotStage


class Sleeping:
    """The sleep of one slot."""

    def __init__(self, stages: Sequence[SlotStage], bell: Bell, waiter: Waits, meter: Meter) -> None:
        self._stages = tuple(stages)
        self._bell = bell
        self._waiter = waiter
        self._meter = meter

    def sleep(self, why: int, has_work: Callable[[], bool], nap_s: Callable[[], float]) -> bool:
        """Until something happens, or the nap is over. False: there was something to do. `why`: bits of `Sleep`."""
        # First "I sleep", then a look: who publishes in between sees the one, or is seen by the other (trap 5).
        self._bell.say_asleep(why)
        if has_work():
            self._bell.say_awake()
            return False
        self._meter.now_doing(Activity.BUSY if why == Sleep.AWAKE else Activity.WAITING_FOR_INPUT)
        self._waiter.watch(set().union(*(stage.inputs.descriptors() for stage in self._stages)))
        ready = self._waiter.wait(nap_s())
        self._bell.say_awake()
        if ready:
            for stage in self._stages:
                stage.inputs.woken()
        return True
