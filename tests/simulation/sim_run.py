"""One simulated run: a pipeline, its supervisor, its workers, and whoever kills them. All of it follows from a seed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

from msgspec.structs import replace
from sim_checkpoints import Checkpoints
from sim_endpoints import use
from sim_life import live
from sim_machine import MOST_WORKERS, RUN, Machine
from sim_pipelines import Shape
from sim_properties import Finished
from sim_schedule import Process, Violation
from sim_supervisor import Supervisor

from penstock.channel import codec
from penstock.channel.bell import create_word
from penstock.channel.queue_file import create_queue
from penstock.channel.ring import CONTROL_BYTES, W_HEAD, W_TAIL
from penstock.dead_letter_frames import DeadLetterRecord, read_forward
from penstock.dead_letter_store import letters_file
from penstock.engine.run_spec import queue_files, run_spec, slot_files
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.plan.topology import Topology, with_splits
from penstock.slot.records.control import Control
from penstock.slot.records.durable_word import DurableWord
from penstock.slot.records.journal import create_journal
from penstock.slot.records.life import Life
from penstock.slot.records.work_page import WorkPage
from penstock.slot.user_code import row_program
from penstock.supervisor import life_watch
from penstock.supervisor.protocol import CheckpointSpec, RunSpec

LETTERS = Path("/state/dead-letters/simulated/run")
_MOST_S = 20_000.0


class Simulation:
    """One run, from its seed to its end, by one supervisor or by several after each other."""

    def __init__(self, seed: int, *, checkpointed: bool = False) -> None:
        """`checkpointed`: checkpoints one after the other, and the machine is lost."""
        self.seed = seed
        self.machine = machine = Machine(seed)
        use(machine)
        self._random = random = machine.random
        self.topology, self.spec = _topology(machine.shape, machine.rows)
        self._kills = random.choices(("none", "points", "clock"), (2, 12, 1))[0]
        self._kills_left = {
            (slot.group, slot.number): random.choice((0, 1, 2, 4)) if self._kills == "points" else 0
            for slot in self.topology.slots()
        }
        """Of each slot; so few that chance can blame no row, though they come where the victim is at work."""
        self._span = random.choice((100, 400, 1500))
        self._killed_until = 0.0
        self._ends_early = random.choice(("", "", "", "", "abandon", "stop", "drain", "lose", "lose"))
        if checkpointed:
            self._ends_early = "lose"
        self.checkpoints: Checkpoints | None = None
        if self._ends_early == "lose" or random.random() < 0.1:
            self.checkpoints = Checkpoints(machine, self.topology, LETTERS)
            self.spec = replace(self.spec, checkpoint=CheckpointSpec("memory", 1.0, 3, None))
            if checkpointed:
                self.checkpoints.mean_pause_s = 0.003
        self._befalls = self._ends_early
        self._damaged = random.random() < 0.08
        self.lives = 0

    def run(self) -> None:
        """To the end. Raises `Violation`."""
        with cheaper():
            self._run()

    def _run(self) -> None:
        try:
            self._make_files()
            supervisor = self._under_supervision()
            if self._has_failed_rightly(supervisor):
                self.machine.fates.fixed = True
            if self.machine.fates.fixed or not supervisor.ended or supervisor.shutdown.ending == "stopped":
                if self._ends_early == "lose" and self.checkpoints is not None and self.checkpoints.newest is not None:
                    self._go_on_with(self.checkpoints.restore())
                self._make_anew()
                self._ends_early = ""
                supervisor = self._under_supervision()
                if self._has_failed_rightly(supervisor):  # the one before came to its end too early for that
                    self.machine.fates.fixed = True
                    self._make_anew()
                    supervisor = self._under_supervision()
            lost = self.checkpoints is not None and self.checkpoints.restores > 0
            Finished(self.machine, self.topology, supervisor, self._letters(), lost=lost).check()
        finally:
            use(None)

    def _go_on_with(self, topology: Topology) -> None:
        """Other slots than before, perhaps."""
        if topology is self.topology:
            return
        self.topology = topology
        checkpoint = self.spec.checkpoint
        self.spec = replace(_spec(topology), checkpoint=checkpoint)
        for slot in topology.slots():
            self._kills_left.setdefault((slot.group, slot.number), 1 if self._kills == "points" else 0)
        self._note_senders()

    def _has_failed_rightly(self, supervisor: Supervisor) -> bool:
        """True: a row failed where that ends the run. The code is fixed, and the run resumes."""
        failure = supervisor.failure
        if failure is None or self.machine.fates.fixed:
            return False
        ends = [stage.name for stage in self.machine.shape.stages if stage.on_error == "fail"]
        return failure.stage in ends and "; the row was " in failure.reason

    def describe(self) -> str:
        """What it was, for whoever looks for the reason."""
        machine = self.machine
        return (
            f"pipeline {machine.shape.number}, {machine.rows} rows a source, kills: {self._kills}, "
            f"early end: {self._befalls or 'none'}, lives: {self.lives}, stores seen late: "
            f"{machine.schedule.hidden_stores}, trouble: {machine.trouble}, {machine.schedule.points} points"
        )

    # A supervisor's time.

    def _under_supervision(self) -> Supervisor:
        machine, schedule = self.machine, self.machine.schedule
        supervisor = Supervisor(machine, self.spec, self._give_birth)
        supervisor.process = schedule.start("supervisor", supervisor.main, lambda status: None)
        supervisor.process.maps = False
        if self.checkpoints is not None:
            self.checkpoints.start()
        self._killed_until = schedule.now + self._random.choice((0.01, 0.03, 0.1))
        if self._kills == "clock":
            self._kill_somebody(supervisor)
        if self._damaged:
            self._flip_a_bit(supervisor)
        if self._ends_early:
            schedule.at(schedule.now + self._random.expovariate(1 / 0.01), lambda: self._end_early(supervisor))
        abandoned = supervisor.process
        if not schedule.run(lambda: supervisor.ended or abandoned.dead, schedule.now + _MOST_S):
            raise Violation(f"it is not over after {_MOST_S:g} s")
        for process in list(schedule.processes):
            schedule.kill(process)
        return supervisor

    def _give_birth(self, life: Life) -> Process:
        self.lives += 1
        machine = self.machine
        process = machine.schedule.start(
            f"{life.group}/{life.slot}#{life.attempt}", lambda: live(machine, self.topology, life), lambda status: None
        )
        process.slot = life.slot
        slot = life.group, life.slot
        if self._kills_left[slot] and self._random.random() < 0.7:
            self._kills_left[slot] -= 1
            process.dies_in = int(self._random.random() * self._span)
        return process

    def _kill_somebody(self, supervisor: Supervisor) -> None:
        """At moments that have nothing to do with what the victim does: a row's guilt is weighed by that."""
        schedule, random = self.machine.schedule, self._random
        if supervisor.workers and not supervisor.ended:
            schedule.kill(random.choice(list(supervisor.workers.values())))
        if schedule.now < self._killed_until:
            schedule.at(schedule.now + random.expovariate(1 / 0.002), lambda: self._kill_somebody(supervisor))

    def _flip_a_bit(self, supervisor: Supervisor) -> None:
        """In a frame that nobody has read, now and then: it must be told, or have no effect."""
        schedule, random = self.machine.schedule, self._random
        if supervisor.ended:
            return
        queue = random.choice(self.spec.queues)
        words = self.machine.memory.share(RUN / queue, "the queue").words
        data = self.machine.memory.share(RUN / queue, "the queue").data
        head, tail, capacity = int(words[W_HEAD]), int(words[W_TAIL]), len(data) - CONTROL_BYTES
        if head < tail:
            data[CONTROL_BYTES + (head + random.randrange(tail - head)) % capacity] ^= 1 << random.randrange(8)
            self.machine.damaged = True
        else:
            schedule.at(schedule.now + random.expovariate(1 / 0.001), lambda: self._flip_a_bit(supervisor))

    def _end_early(self, supervisor: Supervisor) -> None:
        if supervisor.ended or supervisor.process is None or supervisor.process.dead:
            return
        if self._ends_early in ("abandon", "lose"):
            for process in list(self.machine.schedule.processes):
                self.machine.schedule.kill(process)
        else:
            supervisor.order(self._ends_early)

    # Files.

    def _make_files(self) -> None:
        """As `engine/make_run.py`."""
        files, paths = self.machine.memory, RunPaths(RUN)
        for queue in queue_files(self.topology, paths):
            create_queue(queue.path, queue.capacity, files)
        self._note_senders()
        for slot in slot_files(self.topology, paths):
            create_journal(slot.journal, slot.record, files=files)
            for page in slot.pages:
                Page.create(page, files)
        self._make_anew()

    def _note_senders(self) -> None:
        plan, paths = self.topology.plan, RunPaths(RUN)
        self.machine.sends_to.clear()
        for channel in self.topology.channels():
            bell = paths.bell(plan, channel.edge.sender, channel.sender)
            queue = paths.queue(channel.edge, channel.sender, channel.receiver)
            self.machine.sends_to.setdefault(bell, []).append(queue)

    def _make_anew(self) -> None:
        """What no row depends on, as `engine/take_over.py`."""
        machine, files, paths = self.machine, self.machine.memory, RunPaths(RUN)
        machine.bells.rung.clear()
        machine.bells.owners.clear()
        files.remove(paths.control)
        Control.create(paths.control, files)
        for slot in self.topology.slots():
            own = paths.slot(slot.group, slot.number)
            for path in (own.work, own.bell.with_name(own.bell.name + ".asleep")):
                files.remove(path)
            WorkPage.create(own.work, files)
            create_word(own.bell, files)
            if self.checkpoints is not None and not files.exists(own.durable):
                DurableWord.create(own.durable, files=files)

    def _letters(self) -> list[DeadLetterRecord]:
        files = self.machine.memory
        groups = self.topology.plan.slot_groups()
        paths = [letters_file(LETTERS, group, number) for group in groups for number in range(MOST_WORKERS)]
        return [frame.record() for path in paths if files.exists(path) for frame in read_forward(path, files)]


_compiled = lru_cache(maxsize=4096)(compile)


@contextmanager
def cheaper() -> Iterator[None]:
    """Without what takes a worker's start a moment, and would take most of the time of thousands of lives.

    And without what the watch asks the system about processes.
    """
    with ExitStack() as stack:
        # The same programs again and again, warnings that nobody reads, and rows that are no Structs.
        stack.enter_context(patch.object(row_program, "compile", _compiled, create=True))
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        stack.enter_context(patch.object(life_watch, "is_stopped", lambda pid: False))
        stack.enter_context(patch.object(life_watch, "wanted_s", lambda pid: 0.0))
        stack.enter_context(patch.object(codec, "keep_structs_as_they_are", lambda: None))
        yield


@lru_cache(maxsize=1000)
def _topology(made: Shape, rows: int) -> tuple[Topology, RunSpec]:
    assert made.plan is not None
    splits = {s.name: dict(s.source.splits()) for s in made.plan.stages.values() if s.source is not None}
    topology = Topology.first(with_splits(made.plan, splits))
    return topology, _spec(topology)


def _spec(topology: Topology) -> RunSpec:
    return run_spec(
        topology, run_id="run", dead_letters=LETTERS, crashes={}, program=b"", preload=(), log_level=logging.INFO,
        left_to=None,
    )
