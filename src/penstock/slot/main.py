"""A worker's life from birth in the zygote to its exit code."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from types import FrameType

from msgspec.structs import replace

from penstock import standard_streams
from penstock.channel.bell import FifoBell, Waiter, Waits, open_fifo
from penstock.ctrl_c import cannot_be_pressed
from penstock.dead_letter_store import letters_file
from penstock.error_text import ERROR_CHARACTERS, TRACEBACK_CHARACTERS, cut
from penstock.errors import FileUnusable, QueueDamaged, TargetDamaged
from penstock.mapped_file import by_mapping
from penstock.metrics.catalogue import Activity
from penstock.plan.membership import MEMBERSHIP_IS, decode_membership
from penstock.plan.paths import RunPaths, SeatPaths
from penstock.plan.plan import Plan, StagePlan
from penstock.plan.topology import Topology, has_coroutines
from penstock.run_files import read_checked
from penstock.shared_file import by_calls
from penstock.slot import forks, lifeline, lock, signals, stack, worker_log
from penstock.slot.assembled_loop import AssembledLoop
from penstock.slot.assembly import Assembler
from penstock.slot.control import Control
from penstock.slot.dead_letter_file import DEAD_LETTERS, DeadLetterFile
from penstock.slot.event_loop import EventLoop, LoopWaiter
from penstock.slot.failure_file import write_failure
from penstock.slot.journal import Journal
from penstock.slot.life import Exit, FailureNote, Life
from penstock.slot.meter import Meter
from penstock.slot.part import Part
from penstock.slot.pickled_error import pickled_error
from penstock.slot.ports import World
from penstock.slot.randomness import reseed_libraries
from penstock.slot.record import Record
from penstock.slot.retries import RETRIES, RetryFile
from penstock.slot.sink_output import open_sink
from penstock.slot.stops import CarefulRestart, StageFailed, Stopped, Trouble
from penstock.slot.time_and_chance import MACHINE
from penstock.slot.user_errors import one_line, same_error, unavailable, user_traceback
from penstock.slot.work import CLOSES, LISTENS, OPENED, Mark, WorkPage
from penstock.terminal_text import visible_lines


def live(run_dir: Path, life: Life, import_program: Callable[[], None] | None = None) -> int:
    """Run one life of a slot; its exit code, announced on the slot's page of work.

    `import_program`: where this process has not been forked from one that has the program.
    """
    seat = RunPaths(run_dir).seat(life.seat, life.slot)
    code = _live(run_dir, life, import_program)
    if code != Exit.ORPHANED:
        try:
            work = WorkPage(seat.work, by_calls)
            work.say_farewell(code, life.attempt, os.getpid())
            work.close()
        except (QueueDamaged, FileUnusable) as exc:  # it counts as a death, and a successor follows
            print(f"penstock: {exc}", file=sys.stderr, flush=True)
    return code


def _live(run_dir: Path, life: Life, import_program: Callable[[], None] | None) -> int:
    paths = RunPaths(run_dir)
    seat = paths.seat(life.seat, life.slot)
    signals.settle()
    cannot_be_pressed()
    _ask_for_exact_timers()
    if not lifeline.hold(paths.lifeline):
        return Exit.ORPHANED
    # Whatever goes wrong from here on is said in the slot's note: an end without one would be blamed on a row.
    stage = life.seat
    work: WorkPage | None = None
    try:
        _connect_streams(seat, life.log_level)
        lock.take_over(seat.lock)  # kept open until the process ends
        forks.own()
        work = WorkPage(seat.work, by_mapping)
        work.clear()
        _note_who_aborts(work)
        stack.show_on_demand()
        work.say_reached(LISTENS)
        if import_program is not None:
            _import(import_program, stage)
        plan: Plan = pickle.loads(read_checked(paths.program, "the plan"))
        membership = decode_membership(read_checked(paths.membership, MEMBERSHIP_IS), paths.membership)
        _keep_stdin_only_for_sources(plan.seats()[life.seat])
        reseed_libraries()
        _run(Worker(Topology(plan, membership), paths, seat, life, work))
        return Exit.FINISHED
    except Stopped:
        return Exit.STOPPED
    except CarefulRestart as restart:
        assert work is not None
        work.enter(Mark(restart.part, 0, 0, 0, restart.rows))
        return Exit.CAREFUL
    except StageFailed as failed:
        note = FailureNote(failed.stage, failed.reason, failed.traceback, error=pickled_error(failed.error))
        return _note(seat, life, Exit.FAILED, note)
    except QueueDamaged as damaged:
        return _note(seat, life, Exit.FAILED, FailureNote(stage, str(damaged)))
    except FileUnusable as unusable:
        return _note(seat, life, Exit.TROUBLE, FailureNote(stage, str(unusable)))
    except Trouble as trouble:
        return _note_error(seat, life, trouble.stage, trouble.what, trouble.error, of_sink=trouble.of_sink)
    except BaseException as exc:  # the worker's own last resort: said to the supervisor, which restarts or gives up
        return _note_error(seat, life, stage, "", exc)


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


class Worker:
    """One life, assembled."""

    def __init__(
        self, topology: Topology, paths: RunPaths, seat: SeatPaths, life: Life, work: WorkPage
    ) -> None:
        self._plan = topology.plan
        self._life = life
        self._paths = paths
        self._control = Control(paths.control, by_mapping)
        self._loop: AssembledLoop | None = None
        self._journal = Journal(seat.journal, by_mapping)
        stages = self._plan.seats()[life.seat]
        self._event_loop = EventLoop() if has_coroutines(stages) else None
        self._bell = FifoBell(seat.bell, by_mapping)
        self._bell.say_awake()
        assembler = Assembler(
            topology=topology, paths=paths, slot=life.slot, attempt=life.attempt, run_id=life.run_id, key=self._key,
            stopping=lambda: self._control.draining or self._control.stopping, work=work,
            event_loop=self._event_loop, clock=MACHINE, ring=self._bell.ring,
        )
        self._parts = [assembler.part(number, stage) for number, stage in enumerate(stages)]
        self._meter = Meter([part.page for part in self._parts], MACHINE)
        self._meter.now_doing(Activity.STARTING)
        self._waiter: Waits = (
            Waiter(self._bell) if self._event_loop is None else LoopWaiter(self._bell, self._event_loop)
        )
        self._seat = seat
        self._work = work

    def run(self) -> None:
        """Take over from the journal, open what is the user's, and work until the input is through."""
        record = self._journal.load()
        # An earlier life may have died between its commit and its last ring. Queues are restored and published before
        # anything of the user's opens: neighbours need not wait for that.
        self._restore(record)
        self._publish_all()
        if not record.finished:
            record = self._open(record)
            self._work_through(record)
        self._meter.now_doing(Activity.FINISHED)

    def _restore(self, record: Record) -> None:
        for part, saved in zip(self._parts, record.parts, strict=True):
            part.restore(saved)
            if self._life.anew:
                part.counts.failed_before_success = 0

    def _publish_all(self) -> None:
        for part in self._parts:
            part.publish(always=True)
            part.show_counts(commit=False)
            for out in part.queues:
                out.queue.ring_reader()
            part.inputs.ring_senders()

    def _open(self, record: Record) -> Record:
        """Open operators and sinks; a transactional sink may know of a newer commit than the journal."""
        newest = record
        for part in self._parts:
            try:
                part.chain.open(part.context)
                forks.leave_if_child()
            except BaseException as exc:  # the user's code, be it an exit or a panic; so below
                forks.leave_if_child_by(exc)
                raise Trouble(part.plan.name, "opening", exc) from exc
            if part.sink is None or part.finished:
                continue
            try:
                part.sink_output = open_sink(part.sink, part.sink_output.position, part.context)
                stored = part.sink_output.newer_record(self._life.run_id)
                if stored is not None and stored.number > newest.number:
                    newest = stored
            except TargetDamaged as damage:
                raise StageFailed(part.plan.name, str(damage)) from damage
            except BaseException as exc:
                forks.leave_if_child_by(exc)
                raise Trouble(part.plan.name, f"opening {part.sink.target}", exc, of_sink=True) from exc
        if newest.number > record.number:
            # Killed between the sink's transaction and the journal's flip: the transaction counts.
            self._journal.advance(newest)
            self._restore(newest)
            self._publish_all()
        return newest

    def _work_through(self, record: Record) -> None:
        life = self._life
        for part in self._parts:
            if part.chain.spool is not None:
                part.chain.spool.clean(spill.name for spill in part.spills)
        # Only now that the newest record is known, which a sink may have had: the logs are cut to what it counts.
        store = letters_file(Path(life.dead_letters), life.seat, life.slot)
        dead_letters = DeadLetterFile(store, record.logs.get(DEAD_LETTERS, ()))
        retries = RetryFile(self._seat.retries, record.logs.get(RETRIES, ()), MACHINE)
        if life.anew:
            retries.let_go()
        world = World(
            journal=self._journal, dead_letters=dead_letters, retries=retries, bell=self._bell, waiter=self._waiter,
            control=self._control, work=self._work, clock=MACHINE,
        )
        self._loop = AssembledLoop(
            self._parts, record, world, life, pipeline=self._plan.pipeline, last_errors=self._paths.last_errors,
            meter=self._meter,
        )
        self._work.say_reached(OPENED)
        self._loop.run()
        self._work.beat()
        self._work.say_reached(CLOSES)
        for part in self._parts:
            self._close(part)
        if self._event_loop is not None:
            self._event_loop.close()
        dead_letters.close()
        retries.close()

    def _close(self, part: Part) -> None:
        """After the last row: what is closed here holds nothing that is not committed."""
        for close in chain(part.chain.closers(), [part.sink_output.close, part.inputs.close]):
            try:
                close()
                forks.leave_if_child()
            except BaseException as exc:  # the work is done and committed; the user should know all the same
                forks.leave_if_child_by(exc)
                part.context.log.warning("closing failed: %s", one_line(exc), exc_info=exc)

    def _key(self) -> str:
        if self._loop is None:
            raise RuntimeError("idempotency_key names the row in progress; read it inside a call, not outside")
        return self._loop.idempotency_key()


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


def _connect_streams(seat: SeatPaths, log_level: int = 20) -> None:
    """Prints and logs go to the supervisor, which labels them; the `stdout` sink has a way of its own."""
    # Opened for reading too, so that a supervisor's death is no broken pipe in user code.
    log = open_fifo(seat.log, "the pipe for printed output")
    os.set_blocking(log, True)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    stdout = open_fifo(seat.stdout, "the pipe to standard output")
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


def _note_error(
    seat: SeatPaths, life: Life, stage: str, what: str, error: BaseException, *, of_sink: bool = False
) -> int:
    """What something outside raised: it is down for now, or it is in trouble."""
    reason = f"{what}: {one_line(error)}" if what else one_line(error)
    down = unavailable(error, of_sink=of_sink)
    if down is not None:
        note = FailureNote(stage, reason, retry_after_s=down.retry_after_s, error=pickled_error(error))
        return _note(seat, life, Exit.UNAVAILABLE, note)
    note = FailureNote(stage, reason, user_traceback(error), same=same_error(what, error), error=pickled_error(error))
    return _note(seat, life, Exit.TROUBLE, note)


def _note(seat: SeatPaths, life: Life, code: Exit, note: FailureNote) -> int:
    try:
        reason, shown = cut(note.reason, 2 * ERROR_CHARACTERS), cut(note.traceback, TRACEBACK_CHARACTERS)
        write_failure(seat.failure, replace(note, attempt=life.attempt, reason=reason, traceback=shown))
    except OSError as exc:  # the code alone says that no row did this; the reason goes where people look
        told = visible_lines(f"penstock: {note.reason} (its failure note cannot be written: {exc})")
        print(told, file=sys.stderr, flush=True)
    return code

