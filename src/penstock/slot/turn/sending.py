"""What a turn gives out on its way into the queues: routed and encoded, then appended past the published tails.

`turn` says when; nothing is seen by a receiver before `commit` has published it.
"""

from __future__ import annotations

from penstock.channel.router import KeyFailure
from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.plan.plan import EdgePlan
from penstock.slot.output.outputs import FRAME_BYTES, Unsendable
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.records.work_page import Doing, Mark, WorkPage
from penstock.slot.turn.backpressure import Backpressure
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn_policy import is_full

Unsent = tuple[EdgePlan, KeyFailure | Unsendable]
"""A row that cannot go over an edge: it has no key, or no text that the sink could write."""


class Sending:
    """Sends what the stages of one slot give out."""

    def __init__(self, backpressure: Backpressure, work: WorkPage, crash: CrashPoints) -> None:
        self._backpressure = backpressure
        self._work = work
        self._crash = crash
        self.unsent: list[Unsent] = []
        """Rows that the last `encode` could not send."""

    def fills_a_frame(self, stage: SlotStage, rows: int) -> bool:
        """True: it is worth while to encode what the last rows gave."""
        if stage.bytes_per_row * rows >= FRAME_BYTES:
            return True
        return any(
            out.is_due(edge.edge.batch_rows)
            for out, edge in zip(stage.outs, stage.edges, strict=False)
        )

    def fills_a_turn(self, stage: SlotStage) -> bool:
        """True: what is encoded is enough to be committed."""
        return any(is_full(out.prepared_bytes, out.capacity) for out in stage.queues)

    def encode(self, stage: SlotStage, mark: Mark, turn: int, *, keeps: bool = False) -> BaseException | None:
        """Route and encode what the leaves gave. On an error, which it gives, nothing is left prepared.

        `mark`: of whose rows it is; `turn`: the number of the turn that is given out; `keeps`: on an error, what was
        prepared before is left.
        """
        rows = 0
        self.unsent = []
        before = [(len(queue.prepared), queue.prepared_bytes) for queue in stage.queues] if keeps else ()
        for edge, out in zip(stage.edges, stage.outs, strict=False):
            if not out.rows and not out.blocks:
                continue
            if edge.balances:
                self._backpressure.wait_until(edge.has_some_room)
            self._work.enter(mark, Doing.ENCODING, edge.limit_ns)
            try:
                failures = edge.prepare(out, turn)
            except BaseException as exc:  # pickling runs the user's code: whatever it raises
                if is_ctrl_c(exc):
                    raise
                self._work.leave()
                if keeps:
                    for queue, (prepared, size) in zip(stage.queues, before, strict=True):
                        queue.forget_behind(prepared, size)
                else:
                    for other in stage.edges:
                        other.forget()
                self.unsent = []
                return exc
            self._work.leave()
            self.unsent.extend((edge.edge, failure) for failure in failures)
            rows += out.length - len(failures)
        stage.clear_outs()
        stage.counts.rows_out += rows
        return None

    def append(
        self, stage: SlotStage, rows: int, *, ingest_ns: int, turn: int, end_turn: bool, tells: bool = False
    ) -> None:
        """Wait for room, and append what is encoded. `rows`: taken in for it; `end_turn`: this is the turn's end.

        `tells`: say how far event time has come, though there may be nothing else to send.
        """
        concerned = [edge for edge in stage.edges if edge.gives_out(end_turn)]
        if not concerned and not tells:
            return
        self._crash.reached("before_append", stage.counts.rows_in)
        self._backpressure.wait_until(lambda: all(edge.has_room(end_turn) for edge in concerned))
        watermark, idle = NO_WATERMARK, False
        if stage.time is not None:
            stage.time.settle()
            idle = stage.time.idle
            if not stage.spills:  # rows of a file are older than what it is told behind them
                watermark = stage.time.for_receivers()
        sent = sum(
            edge.append(
                ingest_ns=ingest_ns, turn=turn, end_turn=end_turn, watermark=watermark, idle=idle, tells=tells
            )
            for edge in stage.edges
        )
        stage.counts.bytes_out += sent
        stage.counts.frames_out += 1
        stage.learn(rows, sent)
        if stage.deals_turns and not stage.carries_turns:
            stage.turn_out += 1
        self._crash.reached("after_append", stage.counts.rows_in)

    def append_end(self, stage: SlotStage) -> None:
        """The last frame of every queue."""
        self._backpressure.wait_until(lambda: all(edge.has_room_for_end() for edge in stage.edges))
        # A drain stops sources where they stand: windows that are open then stay so, for the run that resumes.
        watermark = NO_WATERMARK if stage.time is None else stage.time.for_receivers()
        for edge in stage.edges:
            edge.append_end(END_OF_TIME if stage.inputs.through else watermark)
