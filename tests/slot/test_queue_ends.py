"""Both ends of a queue as slots use them: turns that commit or never happened, side files, rows done part-way."""

from __future__ import annotations

import select
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from penstock.channel.bell import FifoBell, Sleep, create_bell
from penstock.channel.codec import RowCodec
from penstock.channel.frame import Header, Kind
from penstock.channel.gate import EdgeGate, Gate
from penstock.channel.queue import QueueReader, QueueWriter
from penstock.channel.ring import RingWriter, create_ring
from penstock.channel.side_file import SideFiles
from penstock.errors import QueueDamaged
from penstock.event_time import END_OF_TIME
from penstock.mapped_file import by_mapping
from penstock.plan.plan import EdgePlan, Route
from penstock.slot.input.batches import Out
from penstock.slot.input.intake import Intake
from penstock.slot.input.queue_inputs import QueueInput, QueueInputs
from penstock.slot.output.outputs import EdgeOutput, QueueOutput
from penstock.slot.records.record import InputRecord, OutputRecord, StageRecord

CAPACITY = 4096


def edge_plan(route: Route = Route.FORWARD, **more: Any) -> EdgePlan:
    return EdgePlan("a->b", "a", "b", route, CAPACITY, CAPACITY, 50, 0.005, **more)


def out_of(rows: list[Any]) -> Out:
    """What a leaf gave."""
    out = Out()
    out.add(rows)
    return out


class Ends:
    """A folder with one queue; each end can be opened again, as by a successor."""

    def __init__(self, folder: Path) -> None:
        self.queue = folder / "a->b.0-0"
        create_ring(self.queue, CAPACITY)
        create_bell(folder / "bell")
        self.bell = FifoBell(folder / "bell", by_mapping)

    def sender(self, record: OutputRecord, *, turns: bool = False) -> EdgeOutput:
        output = QueueOutput(QueueWriter(self.queue, by_mapping, self.bell), RowCodec())
        output.restore(record)
        output.queue.publish(always=True)
        return EdgeOutput(edge_plan(), Route.FORWARD, [output], turns=turns)

    def receiver(self, record: StageRecord, *, merge: bool = False) -> QueueInputs:
        queue = QueueInput(QueueReader(self.queue, by_mapping, self.bell), RowCodec(), "a->b.0-0")
        inputs = QueueInputs([queue], Gate([EdgeGate(range(1), merge)], 1), "run", ["a->b"])
        inputs.restore(record)
        inputs.publish()
        return inputs

    def close(self, edge: EdgeOutput, inputs: QueueInputs) -> None:
        edge.queues[0].queue.close()
        inputs.close()
        self.bell.close()


def first_input() -> StageRecord:
    return StageRecord(inputs={"a->b.0-0": InputRecord()}, turns_in={"a->b": 0})


class Hops(RuleBasedStateMachine):
    """A sender and a receiver, each with its journal; either dies at any step, rows of any size travel."""

    @initialize()
    def make(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ends = Ends(Path(self.folder.name))
        self.output_record, self.sent, self.committed_sent = OutputRecord(), 0, 0
        self.input_record = first_input()
        self.done: list[int] = []
        self.committed_done: list[int] = []
        self.intakes: list[Intake] = []
        """Taken, and not done."""
        self.taken = 0
        self.edge = self.ends.sender(self.output_record)
        self.inputs = self.ends.receiver(self.input_record)

    @rule(sizes=st.lists(st.sampled_from([0, 5, 300, 1500, 6000]), min_size=1, max_size=12), dies=st.booleans())
    def a_turn_is_given_out(self, sizes: list[int], dies: bool) -> None:
        queue = self.edge.queues[0]
        rows = [(self.sent + n, "x" * size) for n, size in enumerate(sizes)]
        assert self.edge.prepare(out_of(rows), 0) == []
        if not queue.has_room():
            self.edge.forget()
            return
        self.edge.append(ingest_ns=1, turn=0, end_turn=False)
        if dies:
            self.sender_dies()
            return
        self.sent += len(rows)
        self.output_record, self.committed_sent = queue.record(), self.sent
        queue.queue.publish()

    @rule()
    def sender_dies(self) -> None:
        self.edge.queues[0].queue.close()
        self.sent = self.committed_sent
        self.edge = self.ends.sender(self.output_record)

    @precondition(lambda self: len(self.intakes) < 4)
    @rule()
    def a_batch_is_taken(self) -> None:
        assert self.inputs.ready() == (self.taken < self.committed_sent)
        intake = self.inputs.take()
        assert (intake is not None) == (self.taken < self.committed_sent)
        if intake is not None:
            self.intakes.append(intake)
            self.taken += intake.left

    @precondition(lambda self: self.intakes)
    @rule(rows=st.integers(1, 12), commits=st.booleans(), dies=st.booleans())
    def rows_are_worked(self, rows: int, commits: bool, dies: bool) -> None:
        intake = self.intakes[0]
        stop = min(intake.done + rows, intake.length)
        self.done += [row[0] for row in intake.batch[intake.done : stop]]
        intake.done = stop
        self.inputs.progress(intake)
        if intake.done == intake.length:
            self.intakes.pop(0)
        if commits:
            self._commit(publish=not dies)
        if dies:
            self.receiver_dies()
        assert self.done == list(range(len(self.done)))

    def _commit(self, *, publish: bool) -> None:
        record = first_input()
        self.inputs.save(record)
        self.input_record, self.committed_done = record, list(self.done)
        if publish:
            self.inputs.publish()

    @rule()
    def receiver_dies(self) -> None:
        self.inputs.close()
        self.done, self.intakes = list(self.committed_done), []
        self.taken = len(self.done)
        self.inputs = self.ends.receiver(self.input_record)

    @rule()
    def everything_is_drained(self) -> None:
        while self.intakes or self.inputs.ready():
            if not self.intakes:
                self.a_batch_is_taken()
            self.rows_are_worked(12, False, False)
        self._commit(publish=True)
        assert self.done == list(range(self.committed_sent))
        assert self.edge.queues[0].queue.room() == CAPACITY
        # A side file blocks the next one, so none may stay.
        assert SideFiles(self.ends.queue).outstanding() == []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.everything_is_drained()
            self.ends.close(self.edge, self.inputs)
            self.folder.cleanup()


TestHops = Hops.TestCase
TestHops.settings = settings(max_examples=60, stateful_step_count=40)


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    return Ends(tmp_path)


def test_an_output_larger_than_its_whole_queue_arrives(ends: Ends) -> None:
    """Were it appended frame by frame, it would wait for room that only its own commit could make."""
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    rows = [f"{n} ".ljust(400, "x") for n in range(50)]
    edge.prepare(out_of(rows), 0)
    (queue,) = edge.queues
    assert queue.queue.is_too_large(queue.prepared_bytes)
    assert queue.has_room()
    edge.append(ingest_ns=1, turn=0, end_turn=False)
    queue.queue.publish()
    intake = inputs.take()
    assert intake is not None
    assert (intake.batch, intake.length) == (rows, 50)
    edge.prepare(out_of(rows), 0)
    assert not queue.has_room()  # until the reader is done with the one before
    intake.done = 50
    inputs.progress(intake)
    inputs.publish()
    assert queue.has_room()
    ends.close(edge, inputs)


def test_a_frame_that_is_done_in_part_keeps_its_room_until_it_is_done_and_committed(ends: Ends) -> None:
    """A head ahead of the journal would let the sender overwrite rows that a successor must read again."""
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    (queue,) = edge.queues
    edge.prepare(out_of([f"{n}".ljust(40, "x") for n in range(10)]), 0)
    edge.append(ingest_ns=1, turn=0, end_turn=False)
    queue.queue.publish()
    taken = queue.queue.room()
    intake = inputs.take()
    assert intake is not None
    for intake.done in range(1, 10):
        inputs.progress(intake)
        inputs.save(first_input())
        inputs.publish()
        assert queue.queue.room() == taken
    intake.done = 10
    inputs.progress(intake)
    assert queue.queue.room() == taken  # done, but not committed
    inputs.publish()
    assert queue.queue.room() == CAPACITY
    ends.close(edge, inputs)


def test_a_side_file_that_was_never_committed_is_gone_with_its_writer(ends: Ends) -> None:
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    edge.prepare(out_of(["x" * 10_000]), 0)
    edge.append(ingest_ns=1, turn=0, end_turn=False)
    assert len(SideFiles(ends.queue).outstanding()) == 1
    edge.queues[0].queue.close()
    edge = ends.sender(OutputRecord())
    assert SideFiles(ends.queue).outstanding() == []
    ends.close(edge, inputs)


def test_a_side_file_whose_reader_died_before_deleting_it_is_gone_with_the_readers_successor(ends: Ends) -> None:
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    edge.prepare(out_of(["x" * 10_000]), 0)
    edge.append(ingest_ns=1, turn=0, end_turn=False)
    edge.queues[0].queue.publish()
    intake = inputs.take()
    assert intake is not None
    intake.done = intake.length
    inputs.progress(intake)
    record = first_input()
    inputs.save(record)  # committed, and killed before the heads were published
    inputs.close()
    inputs = ends.receiver(record)
    assert SideFiles(ends.queue).outstanding() == []
    assert edge.queues[0].has_room()
    ends.close(edge, inputs)


def test_a_turn_that_was_filtered_away_gives_an_empty_frame_that_ends_it(ends: Ends) -> None:
    edge, inputs = ends.sender(OutputRecord(), turns=True), ends.receiver(first_input(), merge=True)
    for turn, rows in enumerate([["a"], [], ["b"]]):
        edge.prepare(out_of(rows), turn)
        edge.append(ingest_ns=1, turn=turn, end_turn=True)
    edge.queues[0].queue.publish()
    seen = []
    while (intake := inputs.take()) is not None:
        seen.append((intake.turn, intake.batch, intake.turn_end))
        intake.done = intake.length
        inputs.progress(intake)
    assert seen == [(0, ["a"], True), (1, [], True), (2, ["b"], True)]
    record = first_input()
    inputs.save(record)
    assert record.turns_in == {"a->b": 3}
    ends.close(edge, inputs)


def test_only_the_last_frame_of_a_turn_ends_it(ends: Ends) -> None:
    edge, inputs = ends.sender(OutputRecord(), turns=True), ends.receiver(first_input())
    edge.prepare(out_of([str(n).ljust(60) for n in range(40)]), 7)
    edge.append(ingest_ns=1, turn=7, end_turn=True)
    edge.queues[0].queue.publish()
    ended = []
    while (intake := inputs.take()) is not None:
        ended.append((intake.turn, intake.turn_end))
        intake.done = intake.length
        inputs.progress(intake)
    assert len(ended) > 2
    assert ended == [(7, False)] * (len(ended) - 1) + [(7, True)]
    ends.close(edge, inputs)


def test_the_end_of_a_queue_is_read_along_with_its_frames_and_remembered(ends: Ends) -> None:
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    edge.queues[0].queue.append_end(END_OF_TIME)
    edge.queues[0].queue.publish()
    assert not inputs.ended
    assert inputs.take() is None
    assert inputs.ended
    record = first_input()
    inputs.save(record)
    inputs.close()
    assert ends.receiver(record).ended
    ends.close(edge, inputs=ends.receiver(record))


def test_a_batchs_key_is_the_same_for_every_life(ends: Ends) -> None:
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    edge.prepare(out_of([1, 2]), 0)
    edge.append(ingest_ns=1, turn=0, end_turn=False)
    edge.queues[0].queue.publish()
    first = inputs.take()
    inputs.close()
    inputs = ends.receiver(first_input())
    again = inputs.take()
    assert first is not None
    assert again is not None
    assert first.key == again.key == "run/a->b.0-0/0"
    ends.close(edge, inputs)


def test_what_cannot_travel_leaves_nothing_prepared_after_forget(ends: Ends) -> None:
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    with pytest.raises((AttributeError, TypeError)):
        edge.prepare(out_of([1] * 60 + [lambda: None]), 0)
    edge.forget()
    assert edge.append(ingest_ns=1, turn=0, end_turn=False) == 0
    assert edge.queues[0].queue.room() == CAPACITY
    ends.close(edge, inputs)


@given(kind=st.integers(0, 255).filter(lambda kind: kind not in list(Kind)), behind=st.booleans())
def test_a_frame_of_an_unknown_kind_is_damage_and_never_an_end(
    kind: int, behind: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Taken for an END it would end the stage, with whatever stands behind it unread."""
    ends = Ends(tmp_path_factory.mktemp("kinds"))
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    edge.prepare(out_of([1]), 0)
    edge.append(ingest_ns=1, turn=0, end_turn=False)
    edge.queues[0].queue.publish()
    stranger = RingWriter(ends.queue, by_mapping)
    stranger.sequence = 1
    stranger.append_nowait(Header(kind, 0, 1), b"")
    stranger.publish()
    stranger.close()
    taken = inputs.take()
    assert taken is not None
    if not behind:  # also while the batch in front of it is still in work
        taken.done = 1
        inputs.progress(taken)
    with pytest.raises(QueueDamaged, match=f"frame 1 is of kind {kind}"):
        inputs.take()
    assert not inputs.ended
    assert not inputs.exhausted
    ends.close(edge, inputs)


def test_a_batch_knows_the_edge_that_it_came_over(tmp_path: Path) -> None:
    many: list[Ends] = []
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        many.append(Ends(tmp_path / name))
    senders = [ends.sender(OutputRecord()) for ends in many]
    readers = [QueueReader(ends.queue, by_mapping, ends.bell) for ends in many]
    queues = [QueueInput(reader, RowCodec(), f"q{port}", port) for port, reader in enumerate(readers)]
    inputs = QueueInputs(queues, Gate([EdgeGate(range(1)), EdgeGate(range(1, 2))], 2), "run", ["l", "r"])
    inputs.restore(StageRecord(inputs={"q0": InputRecord(), "q1": InputRecord()}, turns_in={"l": 0, "r": 0}))
    for edge, row in zip(senders, "ab", strict=True):
        edge.prepare(out_of([row]), 0)
        edge.append(ingest_ns=1, turn=0, end_turn=False)
        edge.queues[0].queue.publish()
    taken = [inputs.take(), inputs.take()]
    assert [(intake.port, intake.batch) for intake in taken if intake is not None] == [(0, ["a"]), (1, ["b"])]
    inputs.close()
    for edge in senders:
        edge.queues[0].queue.close()


def test_a_sender_is_woken_for_room_that_was_given_back_and_not_for_what_was_only_read(ends: Ends) -> None:
    edge, inputs = ends.sender(OutputRecord()), ends.receiver(first_input())
    for _ in range(3):  # three quarters of the queue
        edge.prepare(out_of(["x" * 900]), 0)
        edge.append(ingest_ns=1, turn=0, end_turn=False)
    edge.queues[0].queue.publish()
    intakes = [inputs.take() for _ in range(3)]
    ends.bell.say_asleep(Sleep.FOR_ROOM)
    inputs.publish()
    inputs.wake_senders()
    assert not rung(ends.bell)
    for intake in intakes:
        assert intake is not None
        intake.done = intake.length
        inputs.progress(intake)
    inputs.publish()
    inputs.wake_senders()
    assert rung(ends.bell)
    ends.close(edge, inputs)


def rung(bell: FifoBell) -> bool:
    return bool(select.select([bell.fd], [], [], 0)[0])
