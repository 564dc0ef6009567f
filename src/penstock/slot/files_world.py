"""The world of a worker process: the files of the run directory, mapped, and the machine's clock."""

from __future__ import annotations

from functools import partial

from penstock.byte_files import DISK
from penstock.channel.bell import Bell, FifoBell, OnePerPath, Waiter, Waits, ring
from penstock.dead_letter_record import pickled
from penstock.mapped_file import by_mapping
from penstock.plan.paths import RunPaths
from penstock.slot.ports import World
from penstock.slot.process.crash_points import ArmedCrash, CrashPoints
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.records.life import Life
from penstock.slot.time_and_chance import MACHINE
from penstock.slot.turn.gc_tuning import TurnGc
from penstock.slot.user_code.event_loop import EventLoop, LoopWaiter


def over_files(paths: RunPaths, life: Life) -> World:
    """The world of one life."""
    bells: OnePerPath[FifoBell] = OnePerPath(lambda path: FifoBell(path, by_mapping))
    return World(
        paths=paths, opening=by_mapping, files=DISK, bell_of=bells.of, waiter_of=_waiter, timer_of=RowTimer,
        clock=MACHINE, crash=CrashPoints(tuple(ArmedCrash(c.point, c.row) for c in life.crashes)),
        pickled=pickled, ask_for_checkpoint=partial(ring, paths.checkpoint_bell),
        when_open=lambda: (TurnGc(MACHINE).between_turns,),
    )


def _waiter(bell: Bell, event_loop: EventLoop | None) -> Waits:
    assert isinstance(bell, FifoBell)
    return Waiter(bell) if event_loop is None else LoopWaiter(bell, event_loop)
