"""One slot of a stage, without a process: its chain, and where what it gives is to go.

`rehearsal` hands it batches and passes on what it gives; `rehearsed_fates` has the rows that failed. Rows go through
the codecs of their edges, so that what cannot travel, or comes out changed, is seen in a test.
"""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from penstock.channel.router import KeyFailure
from penstock.ctrl_c import is_ctrl_c
from penstock.dead_letters import DeadLetter
from penstock.operator import Context, Hooks
from penstock.plan.plan import EdgePlan, Node, StagePlan
from penstock.plan.topology import Topology
from penstock.slot.async_rows import Coroutines
from penstock.slot.batches import Out, as_given, as_row_list, batch_length, batch_slice
from penstock.slot.chain import Chain
from penstock.slot.error_policy import RetryRow
from penstock.slot.expansion import Expansion
from penstock.slot.failure import Failure
from penstock.slot.gathered import MOST_ROWS
from penstock.testing.clock import ManualClock
from penstock.testing.list_sink import ListSink
from penstock.testing.rehearsed_edge import Delivery, RehearsedEdge
from penstock.testing.rehearsed_fates import Counts, RehearsedFates
from penstock.testing.row_timer import timer_for


class RehearsedSlot:
    """A slot that works at once, in the test's thread."""

    def __init__(
        self, topology: Topology, stage: StagePlan, slot: int, *, counts: Counts, clock: ManualClock,
        dead_letters: list[DeadLetter],
    ) -> None:
        plan = topology.plan
        self.stage = stage
        self.context = Context(
            pipeline=plan.pipeline, stage=stage.name, slot=slot, workers=topology.workers(stage.name), attempt=1,
            hooks=Hooks(self._key),
        )
        self.fates = RehearsedFates(
            plan.pipeline, stage, slot, counts=counts, clock=clock, dead_letters=dead_letters
        )
        self._counts = counts
        self._clock = clock
        self._edges = [RehearsedEdge(topology, edge, slot) for edge in plan.outputs(stage)]
        self._sink = stage.sink if isinstance(stage.sink, ListSink) else None
        self._leaves = [output.node for output in stage.outputs] + ([stage.sink_node] if self._sink else [])
        incoming = plan.inputs(stage.name)
        is_async = any(node.operator.is_async for node in stage.nodes)
        self.chain = Chain(
            _nodes_of_slot(stage, slot), self._leaves, label=stage.name,
            batch_rows=min((edge.batch_rows for edge in incoming), default=MOST_ROWS),
            coroutines=Coroutines(stage.settings.concurrency, stage.settings.timeout_s),
            timer=None if is_async else timer_for(stage.settings.timeout_s),
            expansion=Expansion(
                stage.name, stage.settings.row_output_max, lambda: self.context.idempotency_key
            ),
        )
        deals = any(edge.deals_turns for edge in self._edges)
        self._in_place = stage.settings.ordered or topology.carries_turns(stage) or deals
        self._stops = self._in_place or stage.settings.on_error.kind == "fail"
        self._taken = 0
        self._key_of_row: Callable[[int], str] | None = None

    def take(self, batch: Any) -> list[Delivery]:
        """Work on a batch that has arrived; what it gives, and where to."""
        rows, first = batch_length(batch), self._taken
        self._taken += rows
        self._counts.rows_in += rows
        return self._work(batch, first)

    def retry_due(self) -> list[Delivery] | None:
        """The next attempt of a row whose time has come; None: no row's has."""
        waiting = self.fates.take_due()
        if waiting is None:
            return None
        self._counts.retries += 1
        outs, failures = self._call([waiting.row], lambda _: waiting.key)
        if not failures:
            return self._send_single(waiting.row, outs, waiting.attempts + 1)
        self.fates.failed(waiting.row, failures[0], waiting.attempts + 1, waiting.key)
        return []

    def _work(self, batch: Any, first: int) -> list[Delivery]:
        """All rows meet their fate, but for those that wait. `first`: the number of the first one."""
        sent: list[Delivery] = []
        while (length := batch_length(batch)) > 0:
            outs, failures = self._call(batch, self._keys_from(first))
            try:
                prepared = self._prepare(outs)
            except BaseException as exc:  # what a codec raises: one by one it is seen which row it is about
                if is_ctrl_c(exc):
                    raise
                return sent + self._work_one_by_one(batch, first, exc)
            sent += self._send(*prepared)
            if not self._stops:
                self._counts.succeeded += length - len(failures)
                self._set_apart(batch, first, failures)
                return sent
            through = failures[0].index if failures else length
            self._counts.succeeded += through
            if failures:
                row = as_row_list(batch)[through]
                sent += self._retry_in_place(row, failures[0], self._name(first + through))
                through += 1
            batch, first = batch_slice(batch, through, length), first + through
        return sent

    def _work_one_by_one(self, batch: Any, first: int, error: BaseException) -> list[Delivery]:
        length = batch_length(batch)
        if length == 1:
            self.fates.not_encoded(as_row_list(batch)[0], error, 1)
            return []
        singles = (batch_slice(batch, index, index + 1) for index in range(length))
        return [delivery for index, row in enumerate(singles) for delivery in self._work(row, first + index)]

    def _set_apart(self, batch: Any, first: int, failures: list[Failure]) -> None:
        rows = as_row_list(batch) if failures else []
        for failure in failures:
            self.fates.failed(rows[failure.index], failure, 1, self._name(first + failure.index))

    def _retry_in_place(self, row: Any, failure: Failure, key: str) -> list[Delivery]:
        """A row failed that those behind it may not overtake."""
        attempts = 1
        while isinstance(decision := self.fates.decide(failure, attempts), RetryRow):
            self._counts.retries += 1
            self._clock.sleep(decision.after_s)
            attempts += 1
            outs, failures = self._call([row], lambda _: key)
            if not failures:
                return self._send_single(row, outs, attempts)
            failure = failures[0]
        self.fates.end(decision, row, failure, attempts)
        return []

    def _call(self, batch: Any, key_of_row: Callable[[int], str]) -> tuple[list[Out], list[Failure]]:
        """Call the user's code."""
        outs = [Out() for _ in self._leaves]
        self._key_of_row = key_of_row
        began = time.perf_counter()
        given = _Given(batch)
        try:
            rows = given.rows_anew(batch_length(batch))
            return outs, self.chain.run(rows, outs, stop_at_failure=self._stops, origin=given)
        finally:
            self._key_of_row = None
            self._counts.busy_s += time.perf_counter() - began

    def _send_single(self, row: Any, outs: list[Out], attempts: int) -> list[Delivery]:
        """What a retried row gave."""
        try:
            prepared = self._prepare(outs)
        except BaseException as exc:  # what a codec raises
            if is_ctrl_c(exc):
                raise
            self.fates.not_encoded(row, exc, attempts)
            return []
        self._counts.succeeded += 1
        return self._send(*prepared)

    def _prepare(self, outs: list[Out]) -> tuple[list[Out], list[Delivery], list[tuple[EdgePlan, KeyFailure]]]:
        """Route and encode what leaves gave: all of it, or it raises and nothing has happened."""
        deliveries: list[Delivery] = []
        keyless: list[tuple[EdgePlan, KeyFailure]] = []
        for edge, out in zip(self._edges, outs, strict=False):
            given, failures = edge.prepare(out)
            deliveries += given
            keyless += [(edge.plan, failure) for failure in failures]
        return outs, deliveries, keyless

    def _send(
        self, outs: list[Out], deliveries: list[Delivery], keyless: list[tuple[EdgePlan, KeyFailure]]
    ) -> list[Delivery]:
        self._counts.rows_out += sum(out.length for out in outs) - len(keyless)
        if self._sink is not None:
            for batch in outs[-1].batches():
                self._sink.keep(as_given(batch))
        for edge, failure in keyless:
            self.fates.without_key(edge, failure)
        return deliveries

    def _name(self, row: int) -> str:
        return f"test/{self.stage.name}.{self.context.slot}/{row}"

    def _keys_from(self, first: int) -> Callable[[int], str]:
        return lambda row: self._name(first + row)

    def _key(self) -> str:
        row = self.chain.row_in_work
        if self._key_of_row is None or row is None:
            raise RuntimeError("idempotency_key names the row in progress; read it inside a call, not outside")
        return self._key_of_row(row)


class _Given:
    """Rows of which functions are given copies: what they change before they raise does not stay, as in a run."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def rows_anew(self, rows: int) -> Any:
        if not isinstance(self._batch, list):
            return self._batch
        try:
            return pickle.loads(pickle.dumps(self._batch, 5))
        except Exception:  # rows of a source that no queue could carry: they are there once, as in a run
            return self._batch


def _nodes_of_slot(stage: StagePlan, slot: int) -> list[Node]:
    """The first slot works with the instances that the test has made and may look into; the others with copies."""
    copies: dict[int, Any] = {}

    def own(fn: Any) -> Any:
        if slot == 0 or inspect.isroutine(fn) or inspect.isclass(fn) or isinstance(fn, functools.partial):
            return fn
        if id(fn) not in copies:
            copies[id(fn)] = copy.copy(fn)
        return copies[id(fn)]

    return [Node(replace(node.operator, fn=own(node.operator.fn)), node.parent) for node in stage.nodes]
