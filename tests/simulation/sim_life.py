"""One life of a simulated worker: the real `slot/worker.py`, and around it what `slot/main.py` does of an exit."""

from __future__ import annotations

from msgspec.structs import replace
from sim_machine import RUN, Machine
from sim_schedule import Killed, Violation

from penstock.errors import FileUnusable, QueueDamaged
from penstock.plan.paths import RunPaths, SlotPaths
from penstock.plan.topology import Topology
from penstock.slot.process.stops import CarefulRestart, StageFailed, Stopped, Trouble
from penstock.slot.process.user_errors import one_line, same_error, unavailable
from penstock.slot.records.life import Exit, FailureNote, Life
from penstock.slot.records.work_page import LISTENS, Mark, WorkPage
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
    stage = life.group
    try:
        work.clear()
        work.say_reached(LISTENS)
        Worker(topology, machine.world, life, work).run()
        return Exit.FINISHED
    except (Killed, Violation, SystemError):
        raise
    except Stopped:
        return Exit.STOPPED
    except CarefulRestart as restart:
        work.enter(Mark(restart.stage, 0, 0, 0, restart.rows))
        return Exit.CAREFUL
    except StageFailed as failed:
        return _note(machine, files, life, Exit.FAILED, FailureNote(failed.stage, failed.reason, failed.traceback))
    except QueueDamaged as damaged:
        return _note(machine, files, life, Exit.FAILED, FailureNote(stage, str(damaged)))
    except FileUnusable as unusable:
        return _note(machine, files, life, Exit.TROUBLE, FailureNote(stage, str(unusable)))
    except Trouble as trouble:
        if isinstance(trouble.error, (Killed, Violation, SystemError)):
            raise trouble.error from trouble
        return _note_error(machine, files, life, trouble.stage, trouble.what, trouble.error, of_sink=trouble.of_sink)
    except Exception as exc:
        return _note_error(machine, files, life, stage, "", exc)


def _note_error(
    machine: Machine, files: SlotPaths, life: Life, stage: str, what: str, error: BaseException, *,
    of_sink: bool = False,
) -> int:
    reason = f"{what}: {one_line(error)}" if what else one_line(error)
    down = unavailable(error, of_sink=of_sink)
    if down is not None:
        note = FailureNote(stage, reason, retry_after_s=down.retry_after_s)
        return _note(machine, files, life, Exit.UNAVAILABLE, note)
    return _note(machine, files, life, Exit.TROUBLE, FailureNote(stage, reason, same=same_error(what, error)))


def _note(machine: Machine, files: SlotPaths, life: Life, code: Exit, note: FailureNote) -> int:
    machine.schedule.point()
    machine.notes[files.failure] = replace(note, attempt=life.attempt)
    return code
