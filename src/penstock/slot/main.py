"""A worker's life from birth in the zygote to its exit code."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from msgspec.structs import replace

from penstock import standard_streams
from penstock.channel.bell import open_fifo
from penstock.ctrl_c import cannot_be_pressed
from penstock.error_text import ERROR_CHARACTERS, TRACEBACK_CHARACTERS, cut
from penstock.errors import FileUnusable, QueueDamaged
from penstock.mapped_file import by_mapping
from penstock.plan.membership import MEMBERSHIP_IS, decode_membership
from penstock.plan.paths import RunPaths, SlotPaths
from penstock.plan.plan import Plan, StagePlan
from penstock.plan.topology import Topology
from penstock.run_files import read_checked
from penstock.shared_file import by_calls
from penstock.slot.files_world import over_files
from penstock.slot.process import forks, lifeline, lock, signals, stack, worker_log
from penstock.slot.process.failure_file import write_failure
from penstock.slot.process.life_end import LifeEnd, life_end
from penstock.slot.process.randomness import reseed_libraries
from penstock.slot.process.stops import Trouble
from penstock.slot.records.life import Exit, FailureNote, Life
from penstock.slot.records.work_page import LISTENS, WorkPage
from penstock.slot.worker import Worker
from penstock.terminal_text import visible_lines


def live(run_dir: Path, life: Life, import_program: Callable[[], None] | None = None) -> int:
    """Run one life of a slot; its exit code, announced on the slot's page of work.

    `import_program`: where this process has not been forked from one that has the program.
    """
    files = RunPaths(run_dir).slot(life.group, life.slot)
    code = _live(run_dir, life, import_program)
    if code != Exit.ORPHANED:
        try:
            work = WorkPage(files.work, by_calls)
            work.say_farewell(code, life.attempt, os.getpid())
            work.close()
        except (QueueDamaged, FileUnusable) as exc:  # it counts as a death, and a successor follows
            print(f"penstock: {exc}", file=sys.stderr, flush=True)
    return code


def _live(run_dir: Path, life: Life, import_program: Callable[[], None] | None) -> int:
    paths = RunPaths(run_dir)
    files = paths.slot(life.group, life.slot)
    signals.settle()
    cannot_be_pressed()
    _ask_for_exact_timers()
    if not lifeline.hold(paths.lifeline):
        return Exit.ORPHANED
    # Whatever goes wrong from here on is said in the slot's note: an end without one would be blamed on a row.
    work: WorkPage | None = None
    try:
        _connect_streams(files, life.log_level)
        lock.take_over(files.lock)  # kept open until the process ends
        forks.own()
        work = WorkPage(files.work, by_mapping)
        work.clear()
        _note_who_aborts(work)
        stack.show_on_demand()
        work.say_reached(LISTENS)
        if import_program is not None:
            _import(import_program, life.group)
        plan: Plan = pickle.loads(read_checked(paths.program, "the plan"))
        membership = decode_membership(read_checked(paths.membership, MEMBERSHIP_IS), paths.membership)
        _keep_stdin_only_for_sources(plan.slot_groups()[life.group])
        reseed_libraries()
        _run(Worker(Topology(plan, membership), over_files(paths, life), life, work))
        return Exit.FINISHED
    except BaseException as error:  # the last resort included: whatever it was, the supervisor is told
        return _leave(files, life, work, life_end(error, life.group))


def _import(import_program: Callable[[], None], stage: str) -> None:
    try:
        import_program()
    except BaseException as exc:  # whatever the user's module raises, exits included
        forks.leave_if_child_by(exc)
        raise Trouble(stage, "importing the program in a worker", exc) from exc
    forks.leave_if_child()
    signals.settle()  # the program may have set its own


def _run(worker: Worker) -> None:
    try:
        worker.run()
    except BaseException as exc:
        forks.leave_if_child_by(exc)
        raise


def _ask_for_exact_timers() -> None:
    """Linux lets a timer be 50 us late, to save power; a source that waits for a moment would hand that on."""
    try:
        Path("/proc/self/timerslack_ns").write_text("1")
    except OSError:
        return  # where /proc is kept from us, timers stay as they are


def _note_who_aborts(work: WorkPage) -> None:
    """`abort()` does not wait for a handler in Python and ends the process; one that runs was sent the signal.

    What a row's own code aborts is the row's doing; what anybody sends is not.
    """
    worker = os.getpid()

    def handler(number: int, frame: FrameType | None) -> None:
        if os.getpid() == worker:
            work.note_sent(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGABRT, handler)


def _connect_streams(files: SlotPaths, log_level: int = 20) -> None:
    """Prints and logs go to the supervisor, which labels them; the `stdout` sink has a way of its own."""
    # Opened for reading too, so that a supervisor's death is no broken pipe in user code.
    log = open_fifo(files.log, "the pipe for printed output")
    os.set_blocking(log, True)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    stdout = open_fifo(files.stdout, "the pipe to standard output")
    os.set_blocking(stdout, True)
    standard_streams.set_stdout_fd(stdout)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    worker_log.configure(log_level)


def _keep_stdin_only_for_sources(stages: Sequence[StagePlan]) -> None:
    if any(stage.source is not None and not stage.source.replayable for stage in stages):
        return
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _leave(files: SlotPaths, life: Life, work: WorkPage | None, end: LifeEnd) -> int:
    """Leave the mark and the note of an end where the supervisor looks for them; its exit code."""
    if end.mark is not None:
        assert work is not None
        work.enter(end.mark)
    if end.note is not None:
        _leave_note(files, life, end.note)
    return end.code


def _leave_note(files: SlotPaths, life: Life, note: FailureNote) -> None:
    try:
        reason, shown = cut(note.reason, 2 * ERROR_CHARACTERS), cut(note.traceback, TRACEBACK_CHARACTERS)
        write_failure(files.failure, replace(note, attempt=life.attempt, reason=reason, traceback=shown))
    except OSError as exc:  # the code alone says that no row did this; the reason goes where people look
        told = visible_lines(f"penstock: {note.reason} (its failure note cannot be written: {exc})")
        print(told, file=sys.stderr, flush=True)
