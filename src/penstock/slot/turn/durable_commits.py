"""Which commits of a slot are durable, and who is told: sources that acknowledge, sinks that wait for checkpoints.

A commit is durable once a checkpoint covers it that outlives the machine. The slot reads that from a word which the
checkpointer writes (`durable_word`): after each of its commits, and before it sleeps. Without a store a commit is as
durable as it ever gets once it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.slot.records.durable_word import DurableWord
from penstock.slot.turn.slot_stage import SlotStage


class DurableCommits:
    """Of one slot. Inputs and sinks of its stages are told by `committed` and `durable`, and are asked for `awaits`."""

    def __init__(
        self, stages: Sequence[SlotStage], last: int, word: DurableWord | None, ask: Callable[[], None]
    ) -> None:
        """`last`: the number of the last commit; `word`: None without a store; `ask`: has a checkpoint taken now."""
        self._stages = tuple(stages)
        self._last = last
        self._word = word
        self._ask = ask
        self._asked = 0
        """A checkpoint was asked for on account of this commit."""
        self._seen = -1
        self.number = -1
        """The newest commit that is durable, as far as anybody here was told."""

    def begin(self) -> None:
        """Everything is open: tell what is committed, and what of it is durable. Raises `Trouble`, `QueueDamaged`."""
        for stage in self._stages:
            stage.inputs.committed(self._last)
            stage.sink_output.committed(self._last)
        self.look()

    def committed(self, stage: SlotStage) -> None:
        """Right after a commit of what this stage has done. Raises `Trouble`, `QueueDamaged`."""
        self._last += 1
        stage.inputs.committed(self._last)
        stage.sink_output.committed(self._last)
        self.look()

    @property
    def has_news(self) -> bool:
        """True: `look` would find something."""
        return self._number_now() > self.number if self._word is None else self._word.raw != self._seen

    def look(self) -> bool:
        """Tell what has become durable. False: nothing has. Raises `Trouble`, `QueueDamaged`."""
        if not self.has_news:
            return False
        number = self._number_now()
        if number <= self.number:
            return False
        self.number = number
        for stage in self._stages:
            stage.inputs.durable(number)
            stage.sink_output.durable(number)
        return True

    def _number_now(self) -> int:
        word = self._word
        if word is None:
            return self._last
        self._seen = word.raw
        return word.number

    def holds(self, stage: SlotStage) -> bool:
        """True: the stage may not finish yet, for something in it waits until a commit is durable.

        A checkpoint is asked for then, so that it need not wait for the next one that is due.
        """
        awaited = max(stage.inputs.awaits, stage.sink_output.awaits)
        if not awaited or awaited <= self.number:
            return False
        if awaited > self._asked:
            self._asked = awaited
            self._ask()
        return True
