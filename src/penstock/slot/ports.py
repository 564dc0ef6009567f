"""What the loop of a slot needs of the world around it.

`main` makes it of the files in the run directory.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from penstock.channel.bell import Bell, Waits
from penstock.slot.control import Control
from penstock.slot.dead_letter_file import DeadLetterFile
from penstock.slot.journal import Journal
from penstock.slot.retries import RetryFile
from penstock.slot.time_and_chance import Clock
from penstock.slot.work import WorkPage


class Participant(Protocol):
    """A log of the slot that takes part in its commits, such as the dead letters."""

    def flush(self) -> list[int]:
        """Called in every commit before the record is made, and again where a sink refuses rows of it.

        Everything that was appended is with the operating system when this returns. What it gives goes in the record:
        a successor opens the log with it and cuts away what lies beyond.
        """
        ...


class World(msgspec.Struct, frozen=True):
    """All of it, for one life of a slot; its queues are with its stages (`part`)."""

    journal: Journal
    dead_letters: DeadLetterFile
    retries: RetryFile
    bell: Bell
    waiter: Waits
    control: Control
    work: WorkPage
    clock: Clock
