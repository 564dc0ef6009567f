"""One life of a simulated worker: the real `slot/worker.py`, and what `slot/main.py` does at its end."""

from __future__ import annotations

from msgspec.structs import replace
from sim_machine import RUN, Machine
from sim_schedule import Killed, Violation

from penstock.errors import FileUnusable, QueueDamaged
from penstock.plan.paths import RunPaths, SlotPaths
from penstock.plan.topology import Topology
from penstock.slot.process.life_end import life_end
from penstock.slot.process.stops import Trouble
from penstock.slot.records.life import Exit, Life
from penstock.slot.records.work_page import LISTENS, WorkPage
from penstock.slot.worker import Worker


def live(machine: Machine, topology: Topology, life: Life) -> None:
    """The body of its process, from birth to exit."""
    process = machine.schedule.current
    assert process is not None
    files = RunPaths(RUN).slot(life.group, life.slot)
    try:
        work = WorkPage(files.work, machine.opening, machine.clock)
        code = _live(machine, topology, life, files, work)
        work.say_farewell(code, life.attempt, process.pid)
        process.status = code << 8
    except (Killed, QueueDamaged, FileUnusable):
        process.status = process.status or Exit.TROUBLE << 8


def _live(machine: Machine, topology: Topology, life: Life, files: SlotPaths, work: WorkPage) -> int:
    try:
        work.clear()
        work.say_reached(LISTENS)
        Worker(topology, machine.world, life, work).run()
        return Exit.FINISHED
    except BaseException as error:
        raised = error.error if isinstance(error, Trouble) else error
        if isinstance(raised, (Killed, Violation, SystemError)):  # of the simulation itself
            raise raised from error
        end = life_end(error, life.group)
    if end.mark is not None:
        work.enter(end.mark)
    if end.note is not None:
        machine.schedule.point()
        machine.notes[files.failure] = replace(end.note, attempt=life.attempt)
    return end.code
