"""What must hold when a simulated run is over, whatever has befallen it. As in the chaos suite, and a little more."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

from sim_endpoints import ByTransaction
from sim_machine import MOST_WORKERS, RUN, Machine
from sim_pipelines import Expected, expected
from sim_schedule import Violation
from sim_supervisor import Supervisor

from penstock.dead_letter_frames import DeadLetterRecord
from penstock.plan.paths import RunPaths
from penstock.plan.topology import Topology
from penstock.slot.records.journal import load_record


class Finished:
    """A run that is over."""

    def __init__(
        self, machine: Machine, topology: Topology, supervisor: Supervisor, letters: list[DeadLetterRecord], *,
        lost: bool = False,
    ) -> None:
        """`lost`: the machine was lost in between, and a checkpoint put in its place."""
        self._machine = machine
        self._at_once = set[str]()
        """Sinks whose rows are visible at once, and may come again after a restore."""
        if lost:
            sinks = {name: topology.plan.stages[name].sink for name in machine.shape.sinks}
            self._at_once = {name for name, sink in sinks.items() if isinstance(sink, ByTransaction)}
        self._topology = topology
        self._supervisor = supervisor
        self._letters = letters
        self._records = {
            (slot.group, slot.number): load_record(RunPaths(RUN).slot(slot.group, slot.number).journal, machine.opening)
            for slot in topology.slots()
        }
        self._drained = machine.drained
        self._held = machine.drained and any(stage.holds for stage in machine.shape.stages)
        """True: rows may still wait in state for a time that has not come."""

    def check(self) -> None:
        """Raises `Violation`."""
        want = expected(self._machine.shape, self._machine.fates, self._given())
        failure = self._supervisor.failure
        if failure is not None:
            if want.hopeless and "no row has ever succeeded" in failure.reason:
                return
            if self._machine.damaged and "is damaged" in failure.reason:
                self._check_nothing_wrong(want)
                return
            raise Violation(f"the run failed: {failure.stage}: {failure.reason}\n{failure.traceback}")
        self._check_end()
        if self._is_cut_short():
            _require(not self._machine.at_the_end, "what was drained counts as through")
        if self._machine.shape.idle_after is None:
            _require(not self._machine.late, f"late, or back in time: {self._machine.late[:3]}")
        self._check_letters(want)
        self._check_sinks(want)
        self._check_counts(want)
        self._check_left()

    def _given(self) -> dict[str, list[int]]:
        """The numbers that each source gave: all of them, unless it was drained before its end."""
        given: dict[str, list[int]] = {}
        for name in self._machine.shape.sources:
            splits = dict(self._topology.plan.stages[name].splits)
            records = {}
            for slot in range(self._topology.workers(name)):
                records.update(self._stage(name, slot).splits)
            given[name] = []
            for split, (start, stop) in splits.items():
                rows = records[split].rows if split in records else 0
                if not self._drained and self._supervisor.failure is None:
                    _require(rows == stop - start, f"{name}: {split} gave {rows} of {stop - start}")
                    _require(records[split].done, f"{name}: {split} is not through")
                # What a failed run gave until then is a part of what all would give.
                given[name] += range(start, start + rows if self._drained else stop)
        return given

    def _is_cut_short(self) -> bool:
        """True: a source was drained before its end."""
        shape, workers = self._machine.shape, self._topology.workers
        records = [self._stage(name, slot) for name in shape.sources for slot in range(workers(name))]
        return not all(split.done for record in records for split in record.splits.values())

    def _stage(self, stage: str, slot: int) -> Any:
        plan = self._topology.plan
        group = plan.stages[stage].slot_group
        number = [s.name for s in plan.slot_groups()[group]].index(stage)
        return self._records[group, slot].stages[number]

    def _check_end(self) -> None:
        totals = self._supervisor.totals
        assert totals is not None
        _require(all(record.finished for record in self._records.values()), "a slot is not through")
        _require(totals.damaged is None, f"damage: {totals.damaged}")
        _require(totals.hopeless is None, f"hopeless: {totals.hopeless}")
        _require(totals.undelivered_rows == 0, f"{totals.undelivered_rows} rows are on their way")
        _require(self._drained or not totals.cut_short, "it was cut short")

    def _check_sinks(self, want: Expected) -> None:
        machine = self._machine
        rows: dict[str, list[tuple[int, int]]] = {}
        for name in machine.shape.sinks:
            rows[name] = [row for n in range(MOST_WORKERS) for row in machine.target(name, n).rows]
            found = Counter(number for number, _ in rows[name])
            missing, surplus = want.sinks[name] - found, found - want.sinks[name]
            missing = Counter() if self._held else missing
            if name in machine.shape.repeating or name in self._at_once:
                surplus = Counter(number for number in surplus if number not in want.sinks[name])
            _require(not missing and not surplus, f"{name}: missing {dict(missing)}, too often {dict(surplus)}")
        for name in set(machine.shape.in_order) - self._at_once:
            if not any(stage.retries and not stage.ordered for stage in machine.shape.stages):
                numbers = [number for number, _ in rows[name]]
                in_order = numbers == want.order[name] or self._held
                _require(in_order, f"{name}: {numbers}, not in the order {want.order[name]}")
        for one, other in machine.shape.atomic:
            if {one, other} & self._at_once:
                continue
            both = [
                Counter(row for row in rows[name] if not any(machine.fates.refused(s, row[0]) for s in (one, other)))
                for name in (one, other)
            ]
            _require(both[0] == both[1], f"{one} and {other} have results of different calls: {both[0] - both[1]}")

    def _check_nothing_wrong(self, want: Expected) -> None:
        """The run has failed, and told why: what it gave until then is right."""
        for name in self._machine.shape.sinks:
            rows = [row for n in range(MOST_WORKERS) for row in self._machine.target(name, n).rows]
            wrong = Counter(number for number, _ in rows) - want.sinks[name]
            if name in self._machine.shape.repeating or name in self._at_once:
                wrong = Counter(number for number in wrong if number not in want.sinks[name])
            _require(not wrong, f"{name}: wrong {dict(wrong)}")

    def _check_letters(self, want: Expected) -> None:
        found = Counter((letter.stage, pickle.loads(letter.row)[0]) for letter in self._letters)
        missing, surplus = want.letters - found, found - want.letters
        missing = Counter() if self._held else missing
        errors = [letter.error for letter in self._letters if (letter.stage, pickle.loads(letter.row)[0]) in surplus]
        _require(
            not missing and not surplus, f"letters: missing {dict(missing)}, too many {dict(surplus)} ({errors[:3]})"
        )
        for letter in self._letters:
            if "fails" in letter.error:
                retries = next(stage.retries for stage in self._machine.shape.stages if stage.name == letter.stage)
                attempts = letter.attempts
                _require(attempts == retries + 1, f"{letter.stage}: {letter.row_json} has {attempts} attempts")

    def _check_counts(self, want: Expected) -> None:
        assert self._supervisor.totals is not None
        ends = self._supervisor.totals.stages
        if self._held:
            return
        counted, letters = sum(end.dead_letters for end in ends), sum(want.letters.values())
        _require(counted == letters, f"{counted} letters are counted, not {letters}")
        for end in ends:
            _require(end.rows_in == want.taken[end.name], f"{end.name}: {end.rows_in} in, not {want.taken[end.name]}")
            _require(end.skipped == want.skipped[end.name], f"{end.name}: {end.skipped} skipped")
            if end.name in want.sinks:
                out = sum(want.sinks[end.name].values())
                _require(end.rows_out == out, f"{end.name}: {end.rows_out} out, not {out}")

    def _check_left(self) -> None:
        queues = self._machine.memory.beginning_with(RUN / "queues" / "")
        left = [str(p) for p in queues if ".side-" in p.name and not p.name.startswith("kept-")]
        _require(not left, f"side files are left: {left}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


