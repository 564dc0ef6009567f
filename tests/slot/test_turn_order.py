"""The last steps of a turn: committed before published, and a fence before anybody looks who sleeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.channel.bell import FifoBell, create_bell
from penstock.mapped_file import by_mapping
from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.output.sink_output import SinkOutput
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.records.record import Counts, Record, StageRecord
from penstock.slot.time_and_chance import MACHINE
from penstock.slot.turn.backpressure import Backpressure
from penstock.slot.turn.commit import Commit
from penstock.slot.turn.sending import Sending
from penstock.slot.turn.turn import Turn


class Steps:
    """Takes down what a turn does to the world, in order."""

    def __init__(self, bell: FifoBell) -> None:
        self.taken: list[str] = []
        self._bell = bell

    # The slot's own bell.

    @property
    def fd(self) -> int:
        return self._bell.fd

    def fence(self) -> None:
        self.taken.append("fence")

    # The journal, and the stage's queues.

    def commit(self, record: Record) -> None:
        self.taken.append("commit")

    def publish(self) -> None:
        self.taken.append("publish")

    def has_room_for_end(self) -> bool:
        return True

    def append_end(self, watermark: int) -> None:
        self.taken.append("append")

    # Neighbours.

    def wake_reader(self) -> None:
        self.taken.append("look at the reader")

    def wake_writer(self) -> None:
        self.taken.append("look at the writer")


@pytest.mark.interpreted
def test_a_turn_commits_then_publishes_then_fences_and_only_then_looks_who_sleeps(tmp_path: Path) -> None:
    create_bell(tmp_path / "bell")
    bell = FifoBell(tmp_path / "bell", by_mapping)
    steps: Any = Steps(bell)
    inputs = QueueInputs.__new__(QueueInputs)
    inputs.queues = [SimpleNamespace(queue=steps, through=True)]  # type: ignore[assignment]
    stage: Any = SimpleNamespace(
        plan=SimpleNamespace(
            name="s", settings=SimpleNamespace(on_error=SimpleNamespace(give_up_after=None))
        ),
        number=0, sink_output=SinkOutput(), edges=[steps], queues=[SimpleNamespace(queue=steps)], linger_s=1.0,
        inputs=inputs, time=None, spills=[],
        counts=Counts(), finished=False, save=StageRecord, publish=steps.publish, show_counts=lambda commit: None,
    )
    store: Any = SimpleNamespace(flush=lambda: [0])
    commit = Commit([stage], steps, Record(), participants={"log": store}, bell=steps, crash=CrashPoints())
    sending = Sending(Backpressure(steps, steps, steps, steps), steps, CrashPoints())
    turn = Turn(
        [stage], sending=sending, commit=commit, errors=steps, work=steps, meter=steps, crash=CrashPoints(),
        clock=MACHINE,
    )
    turn.finish(stage)
    assert steps.taken == ["append", "commit", "publish", "fence", "look at the reader", "look at the writer"]
    bell.close()
