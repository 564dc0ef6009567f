"""The caller's handle to a running pipeline: its status, its end, and the two ways to end it early."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from msgspec.structs import replace

from penstock.ctrl_c import is_ctrl_c
from penstock.engine import forks, rundir
from penstock.engine.deployment import Deployment
from penstock.engine.supervisor_link import SupervisorLink
from penstock.engine.worker_output import show
from penstock.errors import STARTS_OVER, PenstockError, PipelineFailed
from penstock.metrics.catalogue import Word
from penstock.metrics.snapshot import RunGone, take_snapshot
from penstock.options import Duration, parse_duration
from penstock.plan.topology import Topology
from penstock.report import Outcome, Report, StageReport
from penstock.slot.process.pickled_error import unpickled_error
from penstock.slot.process.user_errors import one_line, user_traceback
from penstock.slot.records.life import FailureNote
from penstock.source import Source
from penstock.supervisor.cleanup import remove_run_dir
from penstock.supervisor.protocol import CallerFailed, Drain, Ended, FromSupervisor, Notice, Output, Running, Stop
from penstock.terminal_text import visible_lines

if TYPE_CHECKING:
    from penstock.status import Status

_engine_log = logging.getLogger("penstock.engine")


class Handle:
    """A started pipeline. As a context manager, it waits for the end on exit, or stops the run on an exception.

    When the process that holds it ends, the run ends, too: its workers are killed, its queues stay, and the next run
    resumes with them.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._owner = os.getpid()
        self._last_look = take_snapshot(deployment.paths.root)
        """What rates are counted from: the last status, or at first this moment, when nothing moves yet."""
        self._link = SupervisorLink(deployment)
        self._read_by_caller = deployment.caller_reads
        """True: queues end in this process, and the run directory stays until they are read."""
        self._locked = True
        self._dead = False
        self._news = threading.Condition()
        self._running = False
        self._ended: Ended | None = None
        self._gone = False
        self._broken: BrokenPipeError | None = None
        self._trouble: FailureNote | None = None
        """Why something that the run said could not be shown."""
        self._on_end: list[Callable[[], None]] = []
        self._released = False
        self._on_release: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._listen, name="penstock-handle", daemon=True)
        forks.tell_of_forks(self)
        self._thread.start()

    @property
    def run_dir(self) -> Path:
        """The directory of this run's queues and journals; after a failure, the directory where they were left."""
        left_in = self._ended.left_in if self._ended is not None else ""
        return Path(left_in) if left_in else self._deployment.paths.root

    def wait(self, *, timeout: Duration | None = None) -> Report:
        """Wait for the end. Raises `TimeoutError`, which stops nothing, and `PipelineFailed`."""
        self.require_owner()
        if not self._wait_for(lambda: self._gone, None if timeout is None else parse_duration(timeout)):
            raise TimeoutError(f"the pipeline is still running after {timeout}; the run continues")
        return self.report()

    def drain(self, *, timeout: Duration | None = "30s") -> Report:
        """Stop the sources and finish what is in flight. Drop whatever is still in flight after `timeout`."""
        self.require_owner()
        self.ask_to_drain(None if timeout is None else parse_duration(timeout))
        return self.wait()

    def stop(self) -> Report:
        """End the run now, and drop what is in flight."""
        self.require_owner()
        self.ask_to_stop()
        return self.wait()

    def status(self) -> Status:
        """Return the current status. Rates cover the time since the last call, in the first call since the start."""
        try:
            now = take_snapshot(self.run_dir)
        except RunGone:
            self._wait_for(lambda: self._gone, None)  # what removed it says its last word next
            return ended_status(self._deployment.topology, self._ended)
        from penstock.metrics.rates import compute  # while the run starts, nobody asks

        before, self._last_look = self._last_look, now
        return compute(before, now)

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers that are running now."""
        return _pids_in(self.run_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.wait()
        elif not self._gone and self.is_owner:
            self.ask_to_stop()
            self._wait_for(lambda: self._gone, None)

    # For the engine.

    @property
    def over(self) -> bool:
        """True: the supervisor is gone and has said its last word, if it could."""
        return self._gone

    @property
    def cut_short(self) -> bool:
        """True: a source was drained before its end."""
        return self._ended is not None and self._ended.cut_short

    @property
    def supervisor_pid(self) -> int:
        return self._link.pid

    def wait_until_running(self) -> None:
        """Until every worker was born. Raises `PipelineFailed` where that failed."""
        self._wait_for(lambda: self._running or self._gone, None)
        if self._gone:
            self.report()

    def wait_a_while(self, seconds: float) -> bool:
        """True when the end came meanwhile."""
        return self._wait_for(lambda: self._gone, seconds)

    def on_end(self, call: Callable[[], None]) -> None:
        """Call this, in another thread, when the end has come."""
        with self._news:
            if not self._gone:
                self._on_end.append(call)
                return
        call()

    def wait_for_release(self, seconds: float) -> bool:
        """True when the run directory was let go of meanwhile: that may be later than the end, while rows are read."""
        return self._wait_for(lambda: self._released, seconds)

    def on_release(self, call: Callable[[], None]) -> None:
        """Call this, in any thread, when the run directory is let go of."""
        with self._news:
            if not self._released:
                self._on_release.append(call)
                return
        call()

    def ask_to_drain(self, timeout_s: float | None) -> None:
        self._link.send(Drain(timeout_s))
        if timeout_s is not None:
            self._link.end_within(timeout_s)

    def ask_to_stop(self) -> None:
        self._link.send(Stop())
        self._link.end_within(0.0)

    def leave(self) -> None:
        """End it, and leave the queues to the next run: what this process's death does."""
        self._link.hang_up()

    @property
    def is_owner(self) -> bool:
        """False in a child that was forked: the run belongs to its parent."""
        return os.getpid() == self._owner

    def require_owner(self) -> None:
        """Raises `RuntimeError` in a child that was forked."""
        if not self.is_owner:
            raise RuntimeError(f"this run was started by process {self._owner}; a forked child cannot wait for it")

    def forked(self) -> None:
        """In a forked child: the run is the parent's, and continues and ends without regard to this process."""
        self._link.forked()
        self._news, self._locked = threading.Condition(), False

    def read_through(self) -> None:
        """What ends in this process is read, or will not be: the run directory may go once the run is over."""
        with self._news:
            self._read_by_caller = False
            dead = self._dead
        if dead:
            self._tidy_up()

    def report(self) -> Report:
        """How it ended. Raises `PipelineFailed`, and `BrokenPipeError` where standard output was closed."""
        if self._broken is not None:
            raise self._broken
        ended = self._ended
        report = _report(self._deployment.plan.pipeline, ended)
        if ended is None:
            raise PipelineFailed("supervisor", self._link.how_it_died(), "", report)
        note = ended.failure
        if note is None and self._trouble is not None:  # it was through before it could be told
            note = replace(self._trouble, reason=f"{self._trouble.reason}; {STARTS_OVER}")
        if note is not None:
            error = unpickled_error(note.error, self._deployment.program)
            raise PipelineFailed(note.stage, note.reason, note.traceback, report) from error
        return report

    def _fail(self, message: object, error: Exception) -> None:
        """What was heard cannot be shown: that fails the run, once; its queues stay."""
        if self._trouble is None:
            self._trouble = _unshown(message, error)
            self._link.send(CallerFailed(self._trouble))

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        with self._news:
            return self._news.wait_for(condition, timeout_s)

    def _show(self, output: Output) -> None:
        if self._broken is not None or self._trouble is not None:
            return  # it would only be told again
        try:
            show(output)
        except BrokenPipeError as exc:
            # Whoever read our standard output has gone: nothing more can be delivered there.
            self._broken = exc
            self.ask_to_stop()

    def _hear(self, message: FromSupervisor | None) -> None:
        match message:
            case Output():
                self._show(message)
            case Notice():
                _engine_log.log(logging.getLevelNamesMapping()[message.level], "%s", visible_lines(message.text))
            case Running():
                with self._news:
                    self._running = True
                    self._news.notify_all()
            case Ended():
                self._ended = message

    def _listen(self) -> None:
        try:
            while True:
                message = self._link.receive()
                try:
                    self._hear(message)
                except Exception as exc:  # a stream or a log handler of the program's; the end must be heard
                    self._fail(message, exc)
        except (EOFError, OSError):
            pass  # the supervisor has ended, one way or the other; or the program closed descriptors that are ours
        try:
            self._clear_up()
        finally:  # whoever waits must hear of the end, whatever clearing up met
            with self._news:
                self._gone = True
                calls, self._on_end = self._on_end, []
                self._news.notify_all()
            for call in calls:
                call()

    def _clear_up(self) -> None:
        """The supervisor is gone, or cannot be heard any more."""
        self._link.wait()
        if self._ended is None:
            from penstock.supervisor.stragglers import kill_stragglers  # few supervisors are killed

            kill_stragglers(self._deployment.run_id)
        with self._news:
            self._dead = True
            waits = self._read_by_caller  # nobody may resume this run, or move what it left, while its rows are read
        if waits:
            rundir.write_owner(self._deployment.lock_fd, self._owner)
        else:
            self._tidy_up()

    def _tidy_up(self) -> None:
        """Remove what is over, or settle what was left, as the last step before the end is told; release the lock.

        Not before: killed until here, this program finds at its rerun that all was done, and begins nothing again.
        """
        with self._news:
            ours, self._locked = self._locked, False
        if not ours:
            return
        if self._ended is not None and not self._ended.leaves_queues:
            self._tell_of_the_end(self._ended)
            remove_run_dir(self.run_dir)
        elif self._ended is not None and self._deployment.caller_reads and not self._ended.left_in:
            # The supervisor left this to us, because the queues had to stay while they were read.
            self._ended = replace(self._ended, left_in=str(_settled(self._deployment)))
        forks.close(self._deployment.lock_fd)
        with self._news:
            self._released = True
            calls, self._on_release = self._on_release, []
            self._news.notify_all()
        for call in calls:
            call()

    def _tell_of_the_end(self, ended: Ended) -> None:
        """A lost machine's next run gives this report again until here, and begins anew from here on."""
        deployment = self._deployment
        if ended.outcome != "finished":
            return
        # Sources first: told again, they find nothing. The other way round a journal would stay for the next run.
        for stage in deployment.plan.stages.values():
            if stage.source is not None:
                _tell_source(stage.source, stage.name)
        if deployment.checkpoint is not None or deployment.known_store.exists():
            from penstock.engine.tell_store import tell_store  # most runs have no store

            tell_store(deployment, ended)


def _tell_source(source: Source[Any], stage: str) -> None:
    try:
        source.finished(stage)
    except BaseException as exc:  # the source's code, be it an exit; the run is through
        if is_ctrl_c(exc):
            raise
        _engine_log.warning("%s: %s.finished() raised %s", stage, type(source).__name__, one_line(exc), exc_info=exc)


def _settled(deployment: Deployment) -> Path:
    """Shrink what the run left and move it to disk; where it is then."""
    from penstock.supervisor.leftover import settle  # most runs leave nothing

    root = deployment.paths.root
    try:
        return settle(root, deployment.left_to)
    except (OSError, PenstockError) as exc:
        _engine_log.warning("what the run left stays in %s, because it cannot be moved (%s)", root, exc)
        return root


def _pids_in(run_dir: Path) -> list[int]:
    try:
        snapshot = take_snapshot(run_dir)
    except RunGone:
        return []
    pids = (page.words[Word.PID] for stage in snapshot.stages.values() for page in stage.pages)
    return [pid for pid in pids if pid]


def _unshown(message: object, error: Exception) -> FailureNote:
    """Why what was heard cannot be shown."""
    is_row = isinstance(message, Output) and not message.label
    what = "standard output cannot be written" if is_row else "what a worker said cannot be logged"
    lost = "; rows that were on their way to it are lost" if is_row else ""
    # Where the system refuses, the lines that asked it tell nobody anything.
    shown = "" if isinstance(error, OSError) else user_traceback(error)
    return FailureNote("output", f"{what}: {one_line(error)}{lost}", shown)


def _report(pipeline: str, ended: Ended | None) -> Report:
    if ended is None:
        return Report(pipeline, "failed", 0.0, {}, 0)
    stages = {
        s.name: StageReport(
            s.name, s.rows_in, s.rows_out, s.retries, s.dead_letters, s.skipped, s.restarts, s.busy_s, s.late
        )
        for s in ended.stages
    }
    return Report(pipeline, cast(Outcome, ended.outcome), ended.duration_s, stages, ended.undelivered_rows, ended.kept)


def ended_status(topology: Topology, ended: Ended | None) -> Status:
    """The status of a run that is over: its counts, and nothing in motion."""
    from penstock.status import StageStatus, Status

    stages = {
        stage.name: StageStatus(
            name=stage.name, workers=topology.workers(stage.name), rows_in=stage.rows_in,
            rows_out=stage.rows_out, rows_in_per_s=0.0, rows_out_per_s=0.0, busy_share=0.0, input_wait_share=0.0,
            output_wait_share=0.0, batch_p50_s=0.0, batch_p99_s=0.0, retries=stage.retries,
            dead_letters=stage.dead_letters, skipped=stage.skipped, restarts=stage.restarts, last_error=None,
            late=stage.late,
        )
        for stage in (ended.stages if ended is not None else ())
    }
    failed = ended is None or ended.failure is not None
    return Status(
        pipeline=topology.plan.pipeline, phase="failed" if failed else "ended",
        uptime_s=ended.duration_s if ended else 0.0,
        end_to_end_p50_s=0.0, end_to_end_p99_s=0.0, bottleneck=None, stages=stages, edges={},
    )
