"""One slot of a stage, without a process: its chain, the fates of its rows, and where what it gives is to go.

`rehearsal` hands it batches and passes on what it gives. It decides as a worker does (`slot.error_policy`), and rows
go through the codecs of their edges, so that what cannot travel, or comes out changed, is seen in a test.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from penstock.channel.codec import RowCodec
from penstock.channel.router import KeyFailure, Router
from penstock.dead_letters import DeadLetter
from penstock.operator import Context
from penstock.options import ErrorPolicy
from penstock.plan.plan import EdgePlan, Plan, Route, StagePlan, StageSettings
from penstock.slot.assembly import carries_turns, effective_route, receivers_of
from penstock.slot.batches import Failure, Out, as_row_list, batch_length, batch_slice
from penstock.slot.chain import Chain
from penstock.slot.error_policy import Decision, FailStage, RetryRow, SkipRow, decide, last_resort
from penstock.slot.stops import StageFailed
from penstock.slot.user_errors import one_line, user_traceback
from penstock.testing.clock import ManualClock
from penstock.testing.list_sink import ListSink
from penstock.testing.row_timer import timer_for


@dataclass(slots=True)
class Counts:
    """Of one stage, over its slots."""

    rows_in: int = 0
    rows_out: int = 0
    retries: int = 0
    dead_letters: int = 0
    skipped: int = 0
    restarts: int = 0
    succeeded: int = 0
    failed_before_success: int = 0
    busy_s: float = 0.0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch on its way to a slot."""

    stage: str
    slot: int
    batch: Any


@dataclass(order=True, slots=True)
class Waiting:
    """A row between two attempts."""

    due_s: float
    number: int
    row: Any = field(compare=False)
    attempts: int = field(compare=False)
    key: str = field(compare=False)


class OutgoingEdge:
    """An edge as a sending slot sees it."""

    def __init__(self, plan: Plan, edge: EdgePlan, slot: int) -> None:
        self.plan = edge
        self.route = effective_route(plan, edge)
        self._receivers = receivers_of(plan, edge, slot)
        self._router = Router(self.route, len(self._receivers), edge.key)
        self._codec = RowCodec(edge.row_type)
        self._turn = 0

    def prepare(self, out: Out) -> tuple[list[Delivery], list[KeyFailure]]:
        """Route what a leaf gave; rows arrive as they would from a queue. Raises what a codec raises."""
        deliveries: list[Delivery] = []
        failures: list[KeyFailure] = []
        for batch in out.batches():
            parts, failed = self._router.split(batch, self._rooms, self._turn)
            failures.extend(failed)
            for index, part in parts:
                arrived = self._codec.decode(*self._codec.encode(part)).batch
                deliveries.append(Delivery(self.plan.receiver, self._receivers[index], arrived))
        self._turn += 1
        return deliveries, failures

    def _rooms(self) -> list[int]:
        """Batches go round."""
        count = len(self._receivers)
        return [int(index == self._turn % count) for index in range(count)]


class RehearsedSlot:
    """A slot that works at once, in the test's thread."""

    def __init__(
        self, plan: Plan, stage: StagePlan, slot: int, *, counts: Counts, clock: ManualClock,
        dead_letters: list[DeadLetter],
    ) -> None:
        self.stage = stage
        self.slot = slot
        self.counts = counts
        self._pipeline = plan.pipeline
        self._clock = clock
        self._dead_letters = dead_letters
        self._edges = [OutgoingEdge(plan, plan.edge(output.edge), slot) for output in stage.outputs]
        self._sink = stage.sink if isinstance(stage.sink, ListSink) else None
        incoming = plan.inputs(stage.name)
        self._input_type = stage.source_type if stage.source is not None else incoming[0].row_type
        self._leaves = [output.node for output in stage.outputs] + ([stage.sink_node] if self._sink else [])
        self.chain = Chain(
            stage.nodes, self._leaves, label=stage.name, input_type=self._input_type,
            batch_rows=min((edge.batch_rows for edge in incoming), default=4096),
            concurrency=stage.settings.concurrency, timeout_s=stage.settings.timeout_s,
            timer=None if _is_async(stage) else timer_for(stage.settings.timeout_s),
        )
        self.context = Context(
            pipeline=plan.pipeline, stage=stage.name, slot=slot, workers=stage.settings.workers, attempt=1,
            key=self._key,
        )
        deals = any(edge.plan.merge or edge.route is Route.DEAL for edge in self._edges)
        self._in_place = stage.settings.ordered or carries_turns(plan, stage) or deals
        self._waiting: list[Waiting] = []
        self._taken = 0
        self._key_of_row: Callable[[int], str] | None = None

    # What `rehearsal` asks for.

    def take(self, batch: Any) -> list[Delivery]:
        """Work on a batch that has arrived."""
        rows, first = batch_length(batch), self._taken
        self._taken += rows
        self.counts.rows_in += rows
        return self._work(batch, first)

    def next_due_s(self) -> float | None:
        """When the first of the waiting rows is due."""
        return self._waiting[0].due_s if self._waiting else None

    def retry_due(self) -> list[Delivery] | None:
        """The next attempt of a row whose time has come; None: no row's has."""
        if not self._waiting or self._waiting[0].due_s > self._clock.monotonic():
            return None
        waiting = heapq.heappop(self._waiting)
        self.counts.retries += 1
        attempts = waiting.attempts + 1
        outs, failures = self._call([waiting.row], lambda row: waiting.key)
        if failures:
            self._failed(waiting.row, failures[0], attempts, waiting.key)
            return []
        return self._send_single(waiting.row, outs, attempts)

    # A batch.

    def _work(self, batch: Any, first: int) -> list[Delivery]:
        """All rows meet their fate, but for those that wait."""
        sent: list[Delivery] = []
        stops = self._in_place or self.stage.settings.on_error.kind == "fail"
        while (length := batch_length(batch)) > 0:
            outs, failures = self._call(batch, lambda row, first=first: self._name(first + row), stops)  # type: ignore[misc]
            try:
                given = self._send(outs)
            except Exception as exc:  # what a codec raises: the row that it is about is found by working one by one
                if length == 1:
                    self._end(last_resort(self.stage.settings), _row(batch, 0, self._input_type), Failure(0, exc, None), 1)
                    return sent
                for index in range(length):
                    sent += self._work(batch_slice(batch, index, index + 1), first + index)
                return sent
            sent += given
            if not stops:
                self._succeeded(length - len(failures))
                for failure in failures:
                    self._failed(
                        _row(batch, failure.index, self._input_type), failure, 1, self._name(first + failure.index)
                    )
                return sent
            through = failures[0].index if failures else length
            self._succeeded(through)
            if failures:
                row = _row(batch, through, self._input_type)
                sent += self._retry_in_place(row, failures[0], self._name(first + through))
                through += 1
            batch, first = batch_slice(batch, through, length), first + through
        return sent

    def _retry_in_place(self, row: Any, failure: Failure, key: str) -> list[Delivery]:
        """A row failed that those behind it may not overtake."""
        attempts = 1
        while True:
            decision = decide(self.stage.settings, failure.error, attempts, random.random())
            if not isinstance(decision, RetryRow):
                self._end(decision, row, failure, attempts)
                return []
            self.counts.retries += 1
            self._clock.sleep(decision.after_s)
            attempts += 1
            outs, failures = self._call([row], lambda index: key)
            if not failures:
                return self._send_single(row, outs, attempts)
            failure = failures[0]

    def _call(
        self, batch: Any, key: Callable[[int], str], stops: bool = False
    ) -> tuple[list[Out], list[Failure]]:
        """Call the user's code."""
        outs = [Out() for _ in self._leaves]
        self._key_of_row = key
        began = time.perf_counter()
        try:
            return outs, self.chain.run(batch, outs, stop_at_failure=stops)
        finally:
            self._key_of_row = None
            self.counts.busy_s += time.perf_counter() - began

    def _send_single(self, row: Any, outs: list[Out], attempts: int) -> list[Delivery]:
        """What a retried row gave."""
        try:
            sent = self._send(outs)
        except Exception as exc:  # what a codec raises
            self._end(last_resort(self.stage.settings), row, Failure(0, exc, None), attempts)
            return []
        self._succeeded(1)
        return sent

    def _send(self, outs: list[Out]) -> list[Delivery]:
        """Hand over what leaves gave: all of it, or it raises."""
        deliveries: list[Delivery] = []
        keyless: list[tuple[EdgePlan, KeyFailure]] = []
        for edge, out in zip(self._edges, outs, strict=False):
            given, failures = edge.prepare(out)
            deliveries += given
            keyless += [(edge.plan, failure) for failure in failures]
            self.counts.rows_out += out.length - len(failures)
        if self._sink is not None:
            for batch in outs[-1].batches():
                self._sink.keep(batch)
            self.counts.rows_out += outs[-1].length
        for plan, failure in keyless:
            self._without_key(plan, failure)
        return deliveries

    # Fates.

    def _succeeded(self, rows: int) -> None:
        self.counts.succeeded += rows

    def _failed(self, row: Any, failure: Failure, attempts: int, key: str) -> None:
        decision = decide(self.stage.settings, failure.error, attempts, random.random())
        if isinstance(decision, RetryRow):
            due_s = self._clock.monotonic() + decision.after_s
            heapq.heappush(self._waiting, Waiting(due_s, self._taken + len(self._waiting), row, attempts, key))
        else:
            self._end(decision, row, failure, attempts)

    def _without_key(self, edge: EdgePlan, failure: KeyFailure) -> None:
        """The receiving stage's key function raised; its policy counts."""
        policy = edge.key_on_error or ErrorPolicy("dead_letter")
        self._end_by(
            last_resort(StageSettings(on_error=policy)), failure.row, failure.error,
            f"key_by {edge.key_where}".rstrip(), 1, edge.receiver,
        )

    def _end(self, decision: Decision, row: Any, failure: Failure, attempts: int) -> None:
        operator = f"{failure.operator.name} {failure.operator.where}" if failure.operator else ""
        self._end_by(decision, row, failure.error, operator, attempts, self.stage.name)

    def _end_by(
        self, decision: Decision, row: Any, error: BaseException, operator: str, attempts: int, stage: str
    ) -> None:
        shown = f"{operator}: {one_line(error)}" if operator else one_line(error)
        self.counts.last_error = shown
        if isinstance(decision, FailStage):
            raise StageFailed(stage, f"{shown}; the row was {_shown(row)}", user_traceback(error)) from error
        if isinstance(decision, SkipRow):
            self.counts.skipped += 1
            return
        self.counts.dead_letters += 1
        if not self.counts.succeeded:
            self.counts.failed_before_success += 1
        self._dead_letters.append(
            DeadLetter(
                id=f"test-{stage}.{self.slot}-{len(self._dead_letters) + 1}", pipeline=self._pipeline, stage=stage,
                slot=self.slot, operator=operator, time_s=self._clock.wall(), attempts=attempts,
                error=one_line(error), traceback=user_traceback(error), row=row,
            )
        )

    # Idempotency keys.

    def _name(self, row: int) -> str:
        return f"test/{self.stage.name}.{self.slot}/{row}"

    def _key(self) -> str:
        row = self.chain.row_in_work
        if self._key_of_row is None or row is None:
            raise RuntimeError("idempotency_key names the row in work; read it inside a call, not outside")
        return self._key_of_row(row)


def _row(batch: Any, index: int, row_type: Any) -> Any:
    return as_row_list(batch, row_type)[index]


def _shown(row: Any) -> str:
    text = repr(row)
    return text if len(text) <= 300 else f"{text[:300]}..."


def _is_async(stage: StagePlan) -> bool:
    return any(node.operator.is_async for node in stage.nodes)
