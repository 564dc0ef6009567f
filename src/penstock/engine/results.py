"""Rows of a running pipeline, iterated in the calling process: it reads the last queues itself, as a slot would."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from penstock.channel.bell import FifoBell, OnePerPath, Sleep, Waiter
from penstock.channel.codec import RowCodec
from penstock.channel.gate import EdgeGate, Gate
from penstock.channel.queue import QueueReader
from penstock.engine.caller_dead_letters import CallerLetters, made_rows
from penstock.engine.deployment import Deployment
from penstock.engine.handle import Handle
from penstock.report import Report, StageReport
from penstock.shared_file import by_calls
from penstock.slot.input.intake import Intake
from penstock.slot.input.queue_inputs import QueueInput, QueueInputs
from penstock.slot.records.dead_letter_file import DEAD_LETTERS
from penstock.slot.records.journal import Journal
from penstock.slot.records.record import Record, StageRecord

T_co = TypeVar("T_co", covariant=True)
_SAFETY_POLL_S = 1.0


class Results(Generic[T_co]):
    """An iterator over the rows that reach the caller. It is bounded: the pipeline runs no faster than the loop.

    A row may arrive twice if the calling process was killed and the next run resumed. Closing the results, leaving
    their block or losing them stops the pipeline. Iterating raises `PipelineFailed` if the pipeline fails. A row that
    cannot be unpickled here becomes a dead letter; the other rows arrive.
    """

    def __init__(self, handle: Handle, deployment: Deployment) -> None:
        self._handle = handle
        self._reader = _CallerInput(deployment)
        self._handle.on_end(self._reader.ring)
        self._rows: Iterator[Any] = iter(())
        self._done = self._closing = False
        self._broken: BaseException | None = None
        """What taking rows raised: they are lost to this reader, so it takes none behind them."""
        self._reading = threading.RLock()
        """Held by whoever reads the next rows. Of those that are there, an iterator gives each once without it."""

    @property
    def report(self) -> Report:
        """How the run ended. Waits for its end. Raises `PipelineFailed`.

        If rows were set aside here, the report includes this stage.
        """
        report, here = self._handle.wait(), self._reader.report()
        return replace(report, stages={**report.stages, here.name: here}) if here.dead_letters else report

    @property
    def handle(self) -> Handle:
        """The handle of the run."""
        return self._handle

    @property
    def is_open(self) -> bool:
        """False once the results are exhausted, closed, or being closed."""
        return not (self._done or self._closing)

    def __iter__(self) -> Iterator[T_co]:
        return self

    def __next__(self) -> T_co:
        while True:
            for row in self._rows:
                return row  # type: ignore[no-any-return]
            with self._reading:
                for row in self._rows:  # another thread was first
                    return row  # type: ignore[no-any-return]
                if self._done:
                    raise StopIteration
                self._rows = iter(self._next_rows())

    def _next_rows(self) -> list[Any]:
        self._handle.require_owner()
        if self._broken is not None:
            raise self._broken
        self._reader.commit()
        while (rows := self._taken()) is None:
            if self._reader.ended:
                self._finish()
                return []
            if self._handle.over:
                self._done = True
                self._reader.close()
                self._handle.read_through()
                if not self._closing:
                    self._handle.report()  # raises where it failed
                return []
            self._reader.sleep(lambda: self._handle.over)
        return rows

    def _taken(self) -> list[Any] | None:
        try:
            return self._reader.take()
        except BaseException as exc:
            self._broken = exc
            raise

    def _finish(self) -> None:
        self._reader.commit()
        self._done = True
        self._reader.close()
        self._handle.read_through()
        self._handle.wait()

    def close(self) -> None:
        """Stop the pipeline, if it is still running. Another thread that waits for a row gets no more rows."""
        if self._done:
            return
        self._closing = True
        self._handle.ask_to_stop()
        self._handle.wait_a_while(60.0)
        with self._reading:  # who waits in there has been woken by the end
            self._rows = iter(())
            if not self._done:
                self._done = True
                self._reader.close()
        self._handle.read_through()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # A program that ends in the middle of its rows was not done with them: its next run resumes there.
        if not getattr(self, "_done", True) and not sys.is_finalizing():
            self._handle.ask_to_stop()
            if self._handle.is_owner:
                self._reader.letters.close()
                self._handle.on_end(self._reader.let_go)  # the handle's thread rings its bell until then
            self._handle.read_through()


class _CallerInput:
    """The queues that end in the calling process. Nothing is mapped: a queue that somebody cuts must not kill it."""

    def __init__(self, deployment: Deployment) -> None:
        topology, plan, paths = deployment.topology, deployment.plan, deployment.paths
        stage = next(stage for stage in plan.stages.values() if stage.caller)
        self._stage = stage.name
        bells = OnePerPath(lambda path: FifoBell(path, by_calls))
        queues: list[QueueInput] = []
        gates: list[EdgeGate] = []
        for port, edge in enumerate(plan.inputs(stage.name)):
            first = len(queues)
            for sender in topology.senders(edge, 0):
                path = paths.queue(edge, sender, 0)
                bell = bells.of(paths.bell(plan, edge.sender, sender))
                queues.append(QueueInput(QueueReader(path, by_calls, bell), RowCodec(edge.row_type), path.name, port))
            gates.append(EdgeGate(range(first, len(queues)), edge.merge and len(queues) - first > 1))
        names = [edge.name for edge in plan.inputs(stage.name)]
        self._inputs = QueueInputs(queues, Gate(gates, len(queues)), "", names)
        self._journal = Journal(paths.caller_journal, by_calls)
        self._record = self._journal.load()
        self._inputs.restore(self._record.stages[0])
        self.letters = CallerLetters(
            deployment.dead_letters, plan.pipeline, stage.name, self._record.logs.get(DEAD_LETTERS, ())
        )
        self._counts = self._record.stages[0].counts
        self._inputs.publish()
        self._bell = FifoBell(paths.caller_bell, by_calls)
        self._waiter = Waiter(self._bell)
        self._intake: Intake | None = None
        self._closing = threading.RLock()
        """Of the handle's thread, too, in which a collection may find that the results were lost."""
        self._closed = False

    @property
    def ended(self) -> bool:
        return self._inputs.ended

    def take(self) -> list[Any] | None:
        """The next rows; None: nothing now."""
        intake = self._inputs.take()
        if intake is None:
            return None
        rows, unmade = made_rows(intake.batch)
        failures = {**intake.failures, **unmade}
        for index in sorted(failures):
            self.letters.set_aside(*failures[index])
        self._counts.rows_in += intake.length
        self._counts.rows_out += intake.length - len(failures)
        self._counts.dead_letters += len(failures)
        self._intake = intake
        return [row for index, row in enumerate(rows) if index not in failures] if failures else rows

    def report(self) -> StageReport:
        counts = self._counts
        return StageReport(self._stage, counts.rows_in, counts.rows_out, 0, counts.dead_letters, 0, 0, 0.0)

    def commit(self) -> None:
        """The rows last taken have been handed over: give their room back."""
        intake, self._intake = self._intake, None
        if intake is None or self._closed:
            return
        intake.done = intake.length
        self._inputs.progress(intake)
        stage = StageRecord(counts=self._counts)
        self._inputs.save(stage)
        self._record = Record(self._record.number + 1, logs={DEAD_LETTERS: self.letters.flush()}, stages=[stage])
        self._journal.commit(self._record)
        self._inputs.publish()
        self._bell.fence()
        self._inputs.wake_senders()

    def sleep(self, over: Any) -> None:
        """Until something comes, or the end."""
        self._bell.say_asleep(Sleep.FOR_INPUT)
        if not self._inputs.ready() and not over():
            self._waiter.wait(_SAFETY_POLL_S)
        self._bell.say_awake()

    def ring(self) -> None:
        """Called by the handle's thread, too: the end may come while the caller closes."""
        with self._closing:
            if not self._closed:
                self._bell.ring()

    def close(self) -> None:
        with self._closing:
            if not self._closed:
                self.letters.close()
                self.let_go()

    def let_go(self) -> None:
        """Close all but the letters."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._inputs.close()
            self._journal.close()
            self._waiter.close()
            self._bell.close()
