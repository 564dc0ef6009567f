"""Descriptors: how many a run needs, known from the plan, and told before anything starts where there are too few."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable

import msgspec

from penstock.errors import TooFewDescriptors

_SUPERVISOR, _WORKER = 40, 40
"""What they have open besides; of a worker, some for the user's own files."""
CALLER = 20
"""In the calling process: lock, socket, and what is open while a process is started or the status is taken."""
PER_CALLER_QUEUE = 4
_PER_SLOT = 5
"""In the supervisor: a slot's bell, log, standard output, page of work, and process."""


class SlotNeeds(msgspec.Struct, frozen=True):
    """What counts of one slot."""

    pages: int
    neighbours: int
    """Slots that it has queues from or to."""


def needed(slots: Iterable[SlotNeeds]) -> int:
    """How many descriptors the process with the most of them has."""
    every = list(slots)
    supervisor = _SUPERVISOR + sum(_PER_SLOT + slot.pages for slot in every)
    return max([supervisor, *(_WORKER + slot.neighbours for slot in every)])


def allowed() -> int:
    """How many a process of the run may have: the soft limit is raised to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if hard == resource.RLIM_INFINITY else hard


def make_room(more: int) -> None:
    """Raise the soft limit of the calling process, where it has not this many left. Raises `TooFewDescriptors`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = len(os.listdir("/proc/self/fd")) + more
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise TooFewDescriptors(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def raise_limit() -> None:
    """For this process and all that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
