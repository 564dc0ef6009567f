"""What a slot needs of the world around it: all of it is here, made over files or over memory, and nothing else is.

The world ends at bytes, words, bells and clocks. What is kept in them (queues, the journal, logs) is the same code in
every world, so that a simulation runs what workers run. `main` makes it of the run directory, `penstock.testing` of
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from penstock.byte_files import Files
from penstock.channel.bell import SAFETY_POLL_S, Bell, Waits
from penstock.plan.paths import RunPaths
from penstock.shared_file import Opening
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.records.control import Control
from penstock.slot.records.dead_letter_file import DeadLetterFile
from penstock.slot.records.durable_word import DurableWord
from penstock.slot.records.journal import Journal
from penstock.slot.records.retries import RetryFile
from penstock.slot.records.work_page import WorkPage
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.slot_stage import SlotStage

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.slot.state.slot_state import SlotState
    from penstock.slot.user_code.event_loop import EventLoop


class BellOf(Protocol):
    """Bells, one for each path, however often it is asked for."""

    def __call__(self, path: Path) -> Bell:
        """Raises `QueueDamaged`."""
        ...


class WaiterOf(Protocol):
    """What a slot waits on that sleeps on this bell."""

    def __call__(self, bell: Bell, event_loop: EventLoop | None) -> Waits:
        """`event_loop`: where the slot has coroutines; they run while it waits."""
        ...


class TimerOf(Protocol):
    """The time-out of a stage's plain functions."""

    def __call__(self, timeout_s: float, on_tick: Callable[[int], None]) -> RowTimer | None:
        """As `RowTimer`; None where nothing can be interrupted."""
        ...


class World(msgspec.Struct, frozen=True):
    """One world, for the slots that live in it."""

    paths: RunPaths
    """Names of files, wherever they are kept."""
    opening: Opening
    """Queues, journal, pages and words."""
    files: Files
    """Logs, side files, and the journal that takes the place of one that is full."""
    bell_of: BellOf
    waiter_of: WaiterOf
    timer_of: TimerOf
    clock: Clock
    crash: CrashPoints
    pickled: Callable[[object], bytes]
    """How rows that wait or are set aside become bytes. Raises what pickling raises."""
    look_s: float = SAFETY_POLL_S
    """Sleepers look around so often even when nobody rings."""
    when_open: Callable[[], Sequence[Callable[[SlotStage], None]]] = tuple
    """Called once what is the user's is open; gives what to call after each commit."""
    ask_for_checkpoint: Callable[[], None] = lambda: None
    """Has one taken now; called where a slot can do nothing else. It does not wait, and is heard or not."""
    one_at_a_time: bool = False
    """True: slots take turns rather than run beside each other; to share a batch among them gains nothing."""


class Keeping(msgspec.Struct, frozen=True):
    """What one slot keeps, opened for one of its lives; its queues are with its stages (`slot_stage`)."""

    journal: Journal
    dead_letters: DeadLetterFile
    retries: RetryFile
    state: SlotState | None
    bell: Bell
    waiter: Waits
    control: Control
    work: WorkPage
    durable: DurableWord | None
    """None: the run has no checkpoint store."""
