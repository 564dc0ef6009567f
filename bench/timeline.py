"""What happens between `run()` and its return, process by process: imports, files, births, deaths.

Times are those of the processes' own notes (`audit_hook.py`); what several processes do at once stands in between each
other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from measure import table


class Event(NamedTuple):
    """One line of a process's notes."""

    at_ns: int
    pid: int
    cpu_ns: int
    """Processor time of the process so far; of a forked one, since its birth."""
    kind: str
    what: str


_FILES = ("open", "rename", "remove", "rmdir", "mkdir", "scandir")
_ASIDE = "listdir"
"""Mostly of imports, which look into each folder once."""


class Step(NamedTuple):
    """What a process does without anything else between."""

    pid: int
    kind: str
    events: Sequence[Event]


def read(notes: Path) -> list[Event]:
    """All events, in order of time."""
    lines = (line.split("\t") for line in notes.read_text().splitlines())
    return sorted(Event(int(at), int(pid), int(cpu), kind, what) for at, pid, cpu, kind, what in lines)


def timeline(events: Sequence[Event], began_ns: int) -> str:
    """A table: when, who, and what."""
    roles = _roles(events)
    rows = [
        [
            f"{(step.events[0].at_ns - began_ns) / 1e6:.1f}", f"{(step.events[-1].at_ns - began_ns) / 1e6:.1f}",
            f"{step.events[-1].cpu_ns / 1e6:.1f}", roles[step.pid], step.kind, _told(step),
        ]
        for step in sorted(_steps(events), key=lambda step: step.events[0].at_ns)
    ]  # fmt: skip
    return table(["from ms", "to ms", "CPU ms", "process", "does", ""], rows)


def imports(events: Sequence[Event]) -> dict[str, int]:
    """How many modules each kind of process imports; of workers, after their birth, the most."""
    roles, counts = _roles(events), dict[int, int]()
    for event in events:
        counts[event.pid] = counts.get(event.pid, 0) + (event.kind == "import")
    found = dict[str, int]()
    for pid, count in counts.items():
        role = roles[pid].partition(" ")[0]
        found[role] = max(found.get(role, 0), count)
    return found


def _roles(events: Sequence[Event]) -> dict[int, str]:
    """The supervisor forks the zygote, the zygote forks the workers."""
    roles = {event.pid: event.what for event in events if event.kind == "begins"}
    parents = {event.pid: int(event.what) for event in events if event.kind == "forked"}
    zygotes = {pid for pid, parent in parents.items() if roles.get(parent) == "main"}
    workers = [pid for pid in parents if pid not in zygotes]
    return {**roles, **dict.fromkeys(zygotes, "zygote"), **{pid: f"worker {n}" for n, pid in enumerate(workers)}}


def _steps(events: Sequence[Event]) -> Iterator[Step]:
    for pid in dict.fromkeys(event.pid for event in events):
        of_pid = (event for event in events if event.pid == pid and event.kind != _ASIDE)
        for kind, together in groupby(of_pid, key=lambda event: "files" if event.kind in _FILES else event.kind):
            yield Step(pid, kind, list(together))


def _told(step: Step) -> str:
    first, last = (_short(event) for event in (step.events[0], step.events[-1]))
    return first if len(step.events) == 1 else f"{len(step.events)}: {first} .. {last}"


def _short(event: Event) -> str:
    return os.sep.join(event.what.split(os.sep)[-2:]) if event.kind != "import" else event.what
