"""A sink that waits for checkpoints: whoever dies and whatever is lost, rows are visible once, and never too early."""

from __future__ import annotations

import pytest
from epoch_world import Cut, Died, Life, Machine, Server, ServerSink
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.errors import TargetDamaged
from penstock.slot.output import epoch_output, epoch_spool

numbers = st.frozensets(st.integers(0, 40), max_size=6)


class OneSlot(RuleBasedStateMachine):
    """Rows are written, commits made, cuts taken and made durable; processes die, and the machine is lost."""

    two_phase = False

    @initialize(bad=numbers, at_write=numbers, apply_bytes=st.integers(1, 300), segment_bytes=st.integers(1, 200))
    def begin(self, bad: frozenset[int], at_write: frozenset[int], apply_bytes: int, segment_bytes: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(epoch_output, "APPLY_BYTES", apply_bytes)
        self.patch.setattr(epoch_spool, "SEGMENT_BYTES", segment_bytes)
        self.patch.setattr(epoch_spool, "_WORTHWHILE_BYTES", segment_bytes // 2)
        self.server = Server(bad, at_write)
        self.sink = ServerSink(self.server, two_phase=self.two_phase)
        self.machine = Machine()
        self.life = Life(self.machine, self.sink)
        self.cuts: list[Cut] = [self.machine.cut()]
        """Taken, and not known to be durable but for the first."""
        self.durable_rows = 0

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()

    @rule(count=st.integers(1, 5))
    def write(self, count: int) -> None:
        self.life.write(count)

    @rule()
    def commit(self) -> None:
        self._may_die(self.life.commit)

    @rule()
    def cut(self) -> None:
        self.cuts.append(self.machine.cut())

    @precondition(lambda self: len(self.cuts) > 1)
    @rule(told=st.booleans())
    def durable(self, told: bool) -> None:
        """A later cut is durable; the slot hears of it, or not."""
        self.cuts.pop(0)
        self.durable_rows = self._rows_in(self.cuts[0])
        if told:
            self.machine.durable = self.cuts[0].number
            self._may_die(self.life.hear)

    @rule(where=st.sampled_from(["write", "prepare", "prepared", "commit", "committed", "abort"]))
    def arm(self, where: str) -> None:
        self.server.dies = where

    @rule()
    def die(self) -> None:
        self._reborn()

    @rule()
    def lose_the_machine(self) -> None:
        self.machine = self.cuts[0].restored()
        self.cuts = self.cuts[:1]
        self._reborn()

    @invariant()
    def only_durable_rows_are_visible(self) -> None:
        if hasattr(self, "server"):
            rows = self.server.rows
            assert all(row < self.durable_rows for row in rows), (rows, self.durable_rows)
            assert rows == sorted(set(rows)), rows

    @precondition(lambda self: hasattr(self, "server"))
    @rule()
    def through(self) -> None:
        """The input ends here: after a few more checkpoints everything is visible or has a letter."""
        self.server.dies = ""
        self.life.commit()
        for _ in range(60):
            if self.life.may_finish and not self.life.output.wants_commit:
                break
            if self.life.output.wants_commit:
                self.life.commit()
            self.cuts.append(self.machine.cut())
            self.cuts = self.cuts[-1:]
            self.durable_rows = self._rows_in(self.cuts[0])
            self.machine.durable = self.cuts[0].number
            self.life.hear()
        assert self.life.may_finish
        everything = range(self.life.next_row)
        refused = self.server.bad | self.server.at_write
        assert self.server.rows == [row for row in everything if row not in refused]
        assert sorted(self.machine.letters) == [row for row in everything if row in refused]
        assert self.life.counts.rows_out == len(self.server.rows)

    def _rows_in(self, cut: Cut) -> int:
        from penstock.slot.records.record import decode_record

        return decode_record(cut.record).stages[0].counts.rows_in

    def _may_die(self, act: object) -> None:
        try:
            act()  # type: ignore[operator]
        except BaseException as exc:
            if not _is_death(exc):
                raise
            self._reborn()

    def _reborn(self) -> None:
        while True:
            try:
                self.life = Life(self.machine, self.sink)
                return
            except BaseException as exc:
                if not _is_death(exc):
                    raise


def _is_death(exc: BaseException) -> bool:
    return isinstance(exc, Died) or isinstance(exc.__cause__, Died)


class OneSlotOfTwoPhases(OneSlot):
    """The same over a target that prepares first, and dies between the two."""

    two_phase = True


TestOneSlot = OneSlot.TestCase
TestTwoPhases = OneSlotOfTwoPhases.TestCase
TestOneSlot.settings = TestTwoPhases.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_checkpoint_of_before_what_is_visible_is_refused() -> None:
    server = Server()
    machine = Machine()
    life = Life(machine, ServerSink(server))
    life.write(3)
    life.commit()
    old = machine.cut()
    life.write(3)
    life.commit()
    machine.durable = machine.cut().number
    life.hear()
    assert server.rows == [0, 1, 2, 3, 4, 5]
    with pytest.raises(TargetDamaged, match=r"newer than the checkpoint.*--from ID"):
        Life(old.restored(), ServerSink(server))


def test_a_target_that_was_set_back_is_refused() -> None:
    server = Server()
    machine = Machine()
    life = Life(machine, ServerSink(server))
    life.write(3)
    life.commit()
    machine.durable = machine.cut().number
    life.hear()
    life.commit()
    server.note, server.rows = b"", []
    with pytest.raises(TargetDamaged, match="lacks rows"):
        Life(machine, ServerSink(server))


def test_rows_beside_a_refused_one_wait_until_its_letter_is_durable() -> None:
    """Else a loss of the machine would take the letter, and the target's note would say that nothing is to be done."""
    server = Server(bad=frozenset({1}))
    machine = Machine()
    life = Life(machine, ServerSink(server))
    life.write(3)
    life.commit()
    first = machine.cut()
    life.write(3)
    life.commit()
    second = machine.cut()
    machine.durable = first.number
    life.hear()
    assert life.output.wants_commit
    life.commit()
    assert machine.letters == [1]
    machine.durable = second.number
    life.hear()
    assert server.rows == []  # the letter is in no checkpoint yet
    machine.durable = machine.cut().number
    life.hear()
    assert server.rows == [0, 2, 3, 4, 5]
