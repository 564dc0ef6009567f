"""Bugs to be found: each is put into the real code for a while, and is one that somebody could have made.

A simulation that does not find all of them is worth nothing; `simulate.py --planted` says after how many runs it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from msgspec import structs
from sim_machine import Machine

from penstock.channel import ring
from penstock.channel.frame import Frame, Header
from penstock.channel.queue import QueueReader, QueueWriter
from penstock.channel.ring import RingWriter
from penstock.checkpoints import cut, tell_durable
from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.slot.input.intake import Intake
from penstock.slot.input.queue_inputs import QueueInput, QueueInputs
from penstock.slot.input.source_input import SourceInput
from penstock.slot.output.sink_output import TransactionOutput
from penstock.slot.records import journal as journals
from penstock.slot.records.committed_log import CommittedLog
from penstock.slot.records.dead_letter_file import DeadLetterFile
from penstock.slot.records.journal import Journal
from penstock.slot.records.record import InputRecord, Record, decode_record, encode_record
from penstock.slot.records.retries import RetryFile
from penstock.slot.running.gathering import Gathering
from penstock.slot.running.passing_time import PassingTime
from penstock.slot.sleeping import Sleeping
from penstock.slot.turn.commit import Commit
from penstock.slot.turn.durable_commits import DurableCommits
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn import Turn
from penstock.slot.watermarks.origin import Origin
from penstock.slot.watermarks.stage_time import StageTime
from penstock.supervisor import blame
from penstock.supervisor.life_watch import LifeWatch

Plant = Callable[[], Any]


def _reader_gives_room_of_unfinished_frames_back() -> Any:
    def publish(self: QueueReader) -> None:
        self._ring.publish()

    return patch.object(QueueReader, "publish", publish)


def _heads_before_the_flip() -> Any:
    return _before_the_flip(lambda stage: stage.inputs.publish())


def _tails_before_the_flip() -> Any:
    def publish(stage: SlotStage) -> None:
        for out in stage.queues:
            out.queue.publish()

    return _before_the_flip(publish)


def _before_the_flip(publish: Callable[[SlotStage], None]) -> Any:
    record_of = Commit._record

    def _record(self: Commit) -> Record:
        record = record_of(self)
        for stage in self._stages:
            publish(stage)
        return record

    return patch.object(Commit, "_record", _record)


def _room_ignored() -> Any:
    return patch.object(RingWriter, "has_room", lambda self, size: True)


def _retries_counted_as_input() -> Any:
    rows_done = Turn.rows_done
    return patch.object(Turn, "rows_done", lambda self, stage, rows: rows_done(self, stage, max(rows, 1)))


def _third_kill_convicts() -> Any:
    return patch.object(blame, "_CERTAIN", 0.0)


def _looks_before_it_says_that_it_sleeps() -> Any:
    def sleep(self: Sleeping, why: int, has_work: Callable[[], bool], nap_s: Callable[[], float]) -> bool:
        if has_work():
            return False
        self._bell.say_asleep(why)
        self._waiter.wait(nap_s())
        self._bell.say_awake()
        return True

    return patch.object(Sleeping, "sleep", sleep)


def _no_fence_before_it_looks_who_sleeps() -> Any:
    def _ring(self: Commit, stage: SlotStage) -> None:
        for out in stage.queues:
            out.queue.wake_reader()
        stage.inputs.wake_senders()

    return patch.object(Commit, "_ring", _ring)


def _sleepers_for_room_are_not_rung() -> Any:
    return patch.object(QueueReader, "wake_writer", lambda self: None)


def _sink_not_cut_back() -> Any:
    return patch.object(Machine, "cut_back", lambda self, target, length: None)


def _sinks_newer_record_ignored() -> Any:
    return patch.object(TransactionOutput, "record_of", lambda self, run_id, lineage: None)


def _hanging_rows_are_not_ended() -> Any:
    return patch.object(LifeWatch, "overdue", lambda self, *given, **more: False)


def _retry_not_written_off() -> Any:
    def through(self: RetryFile, number: int) -> None:
        self._forget(number)

    return patch.object(RetryFile, "through", through)


def _record_in_the_half_in_use() -> Any:
    def commit(self: Journal, record: Record) -> None:
        data = encode_record(record)
        offset = journals._HEAD_BYTES + ((record.number - 1) & 1) * self._half
        self._data[offset : offset + 8 + len(data)] = journals._framed(data)
        offset = journals._HEAD_BYTES + (record.number & 1) * self._half
        self._data[offset : offset + 8 + len(data)] = journals._framed(data)
        self._words[journals._W_SELECTOR] = journals._selector(record.number)

    return patch.object(Journal, "commit", commit)


def _selector_before_the_record() -> Any:
    def commit(self: Journal, record: Record) -> None:
        data = encode_record(record)
        self._words[journals._W_SELECTOR] = journals._selector(record.number)
        offset = journals._HEAD_BYTES + (record.number & 1) * self._half
        self._data[offset : offset + 8 + len(data)] = journals._framed(data)

    return patch.object(Journal, "commit", commit)


def _checksum_not_looked_at() -> Any:
    return patch("penstock.channel.frame.intact", lambda head, payload, position: True)


def _letters_not_cut_back() -> Any:
    def resume(self: DeadLetterFile, log: CommittedLog, committed_length: int) -> None:
        self._count_letters(log.file_bytes)
        log.length = log.file_bytes

    return patch.object(DeadLetterFile, "_resume_behind", resume)


def _successor_does_not_publish() -> Any:
    publish = SlotStage.publish

    def only_commits(self: SlotStage, *, always: bool = False) -> None:
        if not always:
            publish(self)

    return patch.object(SlotStage, "publish", only_commits)


def _empty_batches_are_dropped() -> Any:
    def rows_done(self: Gathering, rows: int) -> None:
        self.rows -= rows
        while self._intakes and self._intakes[0].left == 0:
            self._intakes.popleft()

    return patch.object(Gathering, "rows_done", rows_done)


def _pins_ignored() -> Any:
    def room(self: RingWriter) -> int:
        head = self._head_seen = self._cursor(ring.W_HEAD)
        return self.capacity - (self.tail - head)

    return patch.object(RingWriter, "room", room)


def _pin_looked_at_before_the_head() -> Any:
    def room(self: RingWriter) -> int:
        pin = int(self._words[ring.W_PIN])
        head = self._head_seen = self._cursor(ring.W_HEAD)
        if pin & 1 and pin - 1 < head:
            self._head_seen = pin - 1
            return max(self.capacity - (self.tail - (pin - 1)), 0)
        return self.capacity - (self.tail - head)

    return patch.object(RingWriter, "room", room)


def _pins_of_the_dead_stay() -> Any:
    return patch.object(cut, "release", lambda run: None)


def _records_upstream_first() -> Any:
    def copied(run: cut.RunFiles, rings: Any) -> cut.Copied:
        upwards = {slot: cut.read_record(slot.journal(run.paths), run.opening) for slot in reversed(run.shape.slots)}
        with patch.object(cut, "read_record", lambda journal, opening: records[journal]):
            records = {slot.journal(run.paths): record for slot, record in upwards.items()}
            return _copied(run, rings)

    _copied = cut._copied
    return patch.object(cut, "_copied", copied)


def _writers_not_woken_behind_a_pin() -> Any:
    return patch.object(cut, "_wake", lambda run, why: None)


def _files_not_kept() -> Any:
    return patch.object(RetryFile, "_remove", lambda self, path: self._files.remove(path))


def _lineage_not_looked_at() -> Any:
    def record_of(self: TransactionOutput, run_id: str, lineage: int) -> Record | None:
        data = self._transactional.last_record()
        return None if not data else decode_record(data)

    return patch.object(TransactionOutput, "record_of", record_of)


def _committed_is_durable() -> Any:
    return patch.object(DurableCommits, "_number_now", lambda self: self._last)


def _told_before_it_is_made() -> Any:
    copy_run = cut.copy_run

    def told_early(run: cut.RunFiles, number: int, put: Callable[[cut.Copied], Any]) -> Any:
        def put_later(copied: cut.Copied) -> Any:
            tell_durable.tell_durable(run, copied)
            return put(copied)

        return copy_run(run, number, put_later)

    return patch.object(cut, "copy_run", told_early)


def _sleepers_not_rung_for_news() -> Any:
    return patch.object(tell_durable, "_ring", lambda run, told: None)


OF_CUTS: dict[str, Plant] = {
    "a writer ignores pins": _pins_ignored,
    "a writer looks at the pin before the head": _pin_looked_at_before_the_head,
    "the pins of a dead checkpointer stay": _pins_of_the_dead_stay,
    "records are read upstream first": _records_upstream_first,
    "a writer that sleeps behind a pin is not rung": _writers_not_woken_behind_a_pin,
    "a retry file that somebody copies is removed": _files_not_kept,
    "what a sink stored before a restore is a newer record": _lineage_not_looked_at,
    "what is committed is acknowledged before it is durable": _committed_is_durable,
    "a slot is told of a checkpoint that is not made yet": _told_before_it_is_made,
    "a sleeping slot is not rung when its commits are durable": _sleepers_not_rung_for_news,
}
"""Found where checkpoints are taken one after the other."""

def _watermark_on_every_frame() -> Any:
    append = RingWriter.append_nowait
    told: dict[Any, int] = {}

    def append_nowait(self: RingWriter, header: Header, payload: bytes) -> None:
        append(self, structs.replace(header, watermark=max(header.watermark, told.get(self, NO_WATERMARK))), payload)

    def queue_append(self: QueueWriter, payloads: Any, size: int, *, watermark: int = NO_WATERMARK, **more: Any) -> int:
        told[self._ring] = watermark
        sent = queue_appends(self, payloads, size, watermark=watermark, **more)
        told.pop(self._ring)
        return sent

    queue_appends = QueueWriter.append
    stack = ExitStack()
    stack.enter_context(patch.object(RingWriter, "append_nowait", append_nowait))
    stack.enter_context(patch.object(QueueWriter, "append", queue_append))
    return stack


def _watermark_counts_before_its_rows() -> Any:
    intake_of = QueueInputs._intake

    def _intake(self: QueueInputs, given: QueueInput, index: int, frame: Frame) -> Intake:
        intake = intake_of(self, given, index, frame)
        given.origin.raise_to(intake.watermark)
        return intake

    return patch.object(QueueInputs, "_intake", _intake)


def _watermark_of_one_input() -> Any:
    def latest(origins: Iterable[Origin]) -> tuple[int, bool]:
        return max((origin.watermark for origin in origins), default=NO_WATERMARK), False

    return patch("penstock.slot.watermarks.stage_time.together", latest)


def _waiting_rows_hold_nothing_back() -> Any:
    return patch.object(RetryFile, "held_back", lambda self, stage: END_OF_TIME)


def _watermark_not_restored() -> Any:
    restore = QueueInput.restore

    def forgets(self: QueueInput, record: InputRecord) -> None:
        restore(self, record)
        self.origin.watermark = NO_WATERMARK

    return patch.object(QueueInput, "restore", forgets)


def _a_stopped_input_is_at_the_end_of_time() -> Any:
    return patch.object(SourceInput, "through", True)


def _time_has_come_before_what_follows() -> Any:
    def _advance(self: PassingTime, stage: SlotStage, event_time: StageTime) -> bool:
        reached = event_time.reached()
        if reached <= event_time.watermark:
            return False
        event_time.watermark = stage.chain.watermark_us = reached
        for node, call in stage.chain.keyed_calls:
            self._give(stage, node, call.advance(reached), reached)
        if event_time.calls:
            self._turn.has_passed(stage)
        return True

    return patch.object(PassingTime, "_advance", _advance)


PLANTED: dict[str, Plant] = {
    **OF_CUTS,
    "a reader gives the room of unfinished frames back": _reader_gives_room_of_unfinished_frames_back,
    "heads are published before the journal's flip": _heads_before_the_flip,
    "tails are published before the journal's flip": _tails_before_the_flip,
    "the room of a queue is ignored": _room_ignored,
    "a row is counted again when it is retried": _retries_counted_as_input,
    "a row that was seen in kills is blamed without evidence": _third_kill_convicts,
    "a row that has had its time is not ended": _hanging_rows_are_not_ended,
    "a slot looks for work, and then says that it sleeps": _looks_before_it_says_that_it_sleeps,
    "no fence between publishing and looking who sleeps": _no_fence_before_it_looks_who_sleeps,
    "who sleeps for room is not rung": _sleepers_for_room_are_not_rung,
    "a sink's rows behind the last commit are not cut away": _sink_not_cut_back,
    "the record that a sink holds is not looked at": _sinks_newer_record_ignored,
    "a retry that is through stays in its file": _retry_not_written_off,
    "a record is written in the half in use": _record_in_the_half_in_use,
    "the selector is stored before the record": _selector_before_the_record,
    "the checksum of frames is not looked at": _checksum_not_looked_at,
    "letters behind the last commit are not cut away": _letters_not_cut_back,
    "a successor does not publish what its journal says": _successor_does_not_publish,
    "a batch without rows that waits for batch functions is dropped": _empty_batches_are_dropped,
    "each frame of a turn tells how far time has come behind the last one": _watermark_on_every_frame,
    "what a frame tells of time counts before its rows are through": _watermark_counts_before_its_rows,
    "the input that is furthest in time counts": _watermark_of_one_input,
    "rows that wait for another attempt do not hold time back": _waiting_rows_hold_nothing_back,
    "a successor does not know how far time has come in its inputs": _watermark_not_restored,
    "a source that was stopped is at the end of time": _a_stopped_input_is_at_the_end_of_time,
    "time counts as passed before what follows from it is given out": _time_has_come_before_what_follows,
}

SELDOM = set(OF_CUTS) - {
    "what is committed is acknowledged before it is durable", "a slot is told of a checkpoint that is not made yet",
    "a sleeping slot is not rung when its commits are durable",
} | {
    "a batch without rows that waits for batch functions is dropped", "a retry file that somebody copies is removed",
    "what a sink stored before a restore is a newer record",
}
"""It takes thousands of runs to find these."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """One of them, in the real code."""
    with PLANTED[name]():
        yield
