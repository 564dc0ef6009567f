"""The commit: the step that makes a turn happen. Killed before the journal's flip: nothing happened. After: all.

`turn` has written and appended everything by then. Here the logs are flushed, the record is made, a sink with
transactions stores it together with its rows, the journal flips, and only then neighbours are shown and rung.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from penstock.channel.bell import Bell
from penstock.slot.output.sink_output import Refused
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.process.forks import leave_if_child
from penstock.slot.records.committed_log import Participant
from penstock.slot.records.journal import Journal
from penstock.slot.records.record import Record
from penstock.slot.turn.slot_stage import SlotStage


class Commit:
    """Commits for one slot."""

    def __init__(
        self, stages: Sequence[SlotStage], journal: Journal, record: Record, *, participants: Mapping[str, Participant],
        bell: Bell, crash: CrashPoints, told: Sequence[Callable[[SlotStage], None]] = (),
    ) -> None:
        """`record`: the last one committed; `participants`: by their names in it; `told`: called after each commit."""
        self._stages = tuple(stages)
        self._journal = journal
        self.number = record.number
        """Of the last commit."""
        self._run_id = record.run_id
        self._lineage = record.lineage
        self._participants = tuple(participants.items())
        self._bell = bell
        self._crash = crash
        self._told = tuple(told)

    def attempt(self, stage: SlotStage) -> list[Refused]:
        """Commit what the stage has done, its sink last asked; all others of the slot have done nothing since.

        Gives rows that the sink refused: then nothing is committed yet, and it is to be attempted once more.
        """
        # A child that user code forked, and that came back from there, would commit the turn a second time.
        leave_if_child()
        crash, rows = self._crash, stage.counts.rows_in
        crash.reached("before_commit", rows)
        refused = stage.sink_output.prepare(stage.counts)
        if refused:
            return refused
        # Nothing counts before the flip. Killed: logs and the sink's file are cut, and the input is read again.
        record = self._record()
        if stage.sink_output.collects:
            crash.reached("before_sink_commit", rows)
            # The transaction holds the record. Killed between it and the flip: the successor finds a record in the sink
            # that is newer than the journal's, and takes that one over.
            refused = stage.sink_output.commit(record, stage.counts)
            if refused:
                return refused
            crash.reached("after_sink_commit", rows)
        self._journal.commit(record)  # the flip: what came before it happened now, all at once
        self.number = record.number
        crash.reached("after_commit", rows)
        # Published after the flip. Killed before it: nobody has seen a frame of a turn that did not happen, and no
        # writer has overwritten input that is read again. Killed after it: the successor publishes the same.
        stage.publish()
        crash.reached("after_publish", rows)
        # Killed between the two: the supervisor rings all neighbours, and so does the successor (trap 6).
        self._ring(stage)
        # Counts last: neighbours wait to be rung, and nobody waits for numbers.
        stage.show_counts(commit=True)
        for tell in self._told:
            tell(stage)
        return []

    def _record(self) -> Record:
        # Logs before the record that counts their bytes. The other way round a kill would leave a record of letters
        # that no file holds; this way it leaves bytes that no record counts, and the successor cuts them off (trap 4).
        logs = {name: participant.flush() for name, participant in self._participants}
        return Record(self.number + 1, logs, self._run_id, [stage.save() for stage in self._stages], self._lineage)

    def _ring(self, stage: SlotStage) -> None:
        # Cursors are stored before it is looked who sleeps, and sleepers do it the other way round: one of the two
        # sees the other (trap 5).
        self._bell.fence()
        for out in stage.queues:
            out.queue.wake_reader()
        stage.inputs.wake_senders()
