"""What a turn waits for: room for all of its frames, the mark that ends it included; and what ends a wait at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.channel.bell import FifoBell, Waiter, create_bell
from penstock.channel.codec import RowCodec
from penstock.channel.frame import HEADER_BYTES
from penstock.channel.queue import QueueWriter
from penstock.channel.ring import RingReader, create_ring
from penstock.mapped_file import by_mapping
from penstock.plan.plan import EdgePlan, Route
from penstock.slot.input.batches import Out
from penstock.slot.input.intake import Intake
from penstock.slot.output.outputs import EdgeOutput, QueueOutput
from penstock.slot.output.sink_output import SinkOutput
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.process.pauses import Pauses
from penstock.slot.process.stops import Stopped
from penstock.slot.records.record import Counts, Record, StageRecord
from penstock.slot.time_and_chance import MACHINE
from penstock.slot.turn.backpressure import Backpressure
from penstock.slot.turn.commit import Commit
from penstock.slot.turn.sending import Sending
from penstock.slot.turn.turn import Turn

CAPACITY = 4096
pytestmark = pytest.mark.interpreted


class Control:
    """Asked on every round of a wait: what the world does meanwhile."""

    draining = False

    def __init__(self, bell: FifoBell) -> None:
        self._bell = bell
        self.meanwhile: Iterator[bool] = iter(())

    @property
    def stopping(self) -> bool:
        stops = next(self.meanwhile, True)
        self._bell.ring()  # so that no round takes long
        return stops


class Sender:
    """A turn of an ordered stage that deals its rows to two queues."""

    def __init__(self, folder: Path) -> None:
        create_bell(folder / "bell")
        self.bell = FifoBell(folder / "bell", by_mapping)
        self.control = Control(self.bell)
        self.readers = []
        queues = []
        for name in ("a->b.0-0", "a->b.0-1"):
            create_ring(folder / name, CAPACITY)
            self.readers.append(RingReader(folder / name, by_mapping))
            queues.append(QueueOutput(QueueWriter(folder / name, by_mapping, self.bell), RowCodec()))
        plan = EdgePlan("a->b", "a", "b", Route.DEAL, CAPACITY, CAPACITY, 50, 0.005)
        self.edge = EdgeOutput(plan, Route.DEAL, queues, turns=True)
        self.out = Out()
        self.stage: Any = SimpleNamespace(
            number=0, plan=SimpleNamespace(name="a"), sink_output=SinkOutput(), edges=[self.edge], queues=queues,
            outs=[self.out], inputs=SimpleNamespace(wake_senders=lambda: None), counts=Counts(),
            finished=False, turn_out=0, deals_turns=True,
            carries_turns=False, save=StageRecord, publish=self._publish, learn=lambda rows, sent: None,
            show_counts=lambda commit: None, clear_outs=self._clear, rows_in_flight=0,
            linger_s=1.0, time=None, spills=[], chain=SimpleNamespace(keeps_state=False, logs_state=False),
        )
        journal: Any = SimpleNamespace(commit=lambda record: None)
        self.waiter = Waiter(self.bell)
        store: Any = SimpleNamespace(flush=lambda: [0])
        meter: Any = SimpleNamespace(batch_taken=lambda intake, is_last: None, now_doing=lambda activity: None)
        work: Any = SimpleNamespace(enter=lambda *args: None, leave=lambda: None)
        waiter, control, crash = self.waiter, self.control, CrashPoints()
        errors: Any = None
        self.pauses = Pauses(self.bell, waiter, control, MACHINE)  # type: ignore[arg-type]
        self.turn = Turn(
            [self.stage],
            sending=Sending(Backpressure(self.bell, waiter, meter, control), work, crash),  # type: ignore[arg-type]
            commit=Commit(
                [self.stage], journal, Record(), participants={"log": store}, bell=self.bell, crash=crash
            ),
            errors=errors, work=work, meter=meter, crash=crash, clock=MACHINE,
        )

    def give(self, rows: list[Any]) -> None:
        """One turn with these rows."""
        intake = Intake(rows, len(rows), len(rows), 1, 1, 0, 0, 0, "key", {}, 0, True)
        self.turn.begin(self.stage, intake)
        self.out.rows = list(rows)
        self.turn.rows_done(self.stage, len(rows))
        self.turn.flush()

    def _publish(self) -> None:
        for queue in self.edge.queues:
            queue.queue.publish()

    def _clear(self) -> None:
        self.out.rows, self.out.blocks = [], []

    def close(self) -> None:
        for end in (*self.readers, *(queue.queue for queue in self.edge.queues)):
            end.close()
        self.waiter.close()
        self.bell.close()


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    made = Sender(tmp_path)
    yield made
    made.close()


def read_all(reader: RingReader) -> int:
    """Give the room of everything published back; how many frames there were."""
    frames = 0
    while reader.read_nowait() is not None:
        frames += 1
    reader.publish()
    return frames


@pytest.mark.parametrize("size", range(0, 400, 16))
def test_a_turn_waits_for_room_for_its_end_in_a_queue_that_none_of_its_rows_go_to(sender: Sender, size: int) -> None:
    """Every receiver must hear that the turn ended; a queue full to the brim has no room for even that."""
    waits = 0

    def receivers_read() -> Iterator[bool]:
        nonlocal waits
        while True:
            waits += 1
            for reader in sender.readers:
                read_all(reader)
            yield False

    sender.control.meanwhile = receivers_read()
    for turn in range(3 * CAPACITY // HEADER_BYTES):
        sender.give(["x" * size if turn % 2 == 0 else ""])  # the first queue is full first, with small turns as well
    assert waits > 0, "the queues never filled up: nothing was shown"


def test_a_pause_before_a_suspicious_row_ends_when_the_supervisor_asks_to_stop(sender: Sender) -> None:
    sender.control.meanwhile = iter([False, False, True])
    began = time.monotonic()
    with pytest.raises(Stopped):
        sender.pauses.pause(3600.0)
    assert time.monotonic() - began < 60


def test_a_wait_for_room_ends_when_the_supervisor_asks_to_stop(sender: Sender) -> None:
    def fill() -> None:
        for _ in range(3 * CAPACITY // HEADER_BYTES):
            sender.give(["x"])

    with pytest.raises(Stopped):
        fill()
