"""A simulated checkpointer: the real cut and the real restore, beside workers that go on, and killed at any moment."""

from __future__ import annotations

from pathlib import Path
from random import Random

from msgspec.structs import replace
from sim_endpoints import ByPosition
from sim_machine import MOST_WORKERS, RUN, Machine
from sim_schedule import Killed, Violation

from penstock.checkpoints import cut
from penstock.checkpoints.claimed import claim
from penstock.checkpoints.earlier_run import earlier_run
from penstock.checkpoints.history import read_log
from penstock.checkpoints.manifest import Holder, Manifest
from penstock.checkpoints.memory_store import MemoryStore
from penstock.checkpoints.rescale import letters_of_gone, rescaled, write_rescaled
from penstock.checkpoints.restore import Restoring, records_of, restore
from penstock.checkpoints.run_shape import shape_of
from penstock.checkpoints.store_cut import RunFacts, lineage_of, same_history, store_cut
from penstock.checkpoints.tell_durable import tell_durable
from penstock.dead_letter_store import letters_file
from penstock.engine.run_spec import layout_of, queue_files, slot_files
from penstock.errors import LayoutChanged, QueueDamaged
from penstock.memory_files import MemoryFiles
from penstock.metrics.page import Page
from penstock.plan.changes import changes
from penstock.plan.fingerprint import fingerprint
from penstock.plan.membership import membership_for
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan, Route
from penstock.plan.topology import Topology
from penstock.slot.records.journal import load_record
from penstock.slot.records.record import Record


class Checkpoints:
    """The checkpointers of one run, one after the other, and what they have stored."""

    def __init__(self, machine: Machine, topology: Topology, letters: Path) -> None:
        self._machine = machine
        self._topology = topology
        self._letters = letters
        self._store = MemoryStore()
        self._shape = shape_of(layout_of(topology, 0.0))
        self._life = 0
        self.mean_pause_s = machine.random.choice((0.003, 0.01, 0.05))
        self._kills_left = machine.random.choice((0, 0, 2, 6))
        self._most_points = machine.random.choice((100, 600))
        """One that is killed is so after so many points at most."""
        self.restores = 0
        self.rescales = 0
        machine.durable_records = self._durable_records

    def start(self) -> None:
        """One begins, and another one when it is killed, whose pins the supervisor takes away."""
        machine, self._life = self._machine, self._life + 1

        def ended(status: int) -> None:
            if machine.schedule.processes:  # or all were killed
                cut.release(self._run())
                self.start()

        process = machine.schedule.start(f"checkpointer#{self._life}", self._main, ended)
        process.maps = False
        process.endless = True
        if self._kills_left:
            self._kills_left -= 1
            process.dies_in = int(machine.random.random() * self._most_points)

    def _main(self) -> None:
        machine = self._machine
        try:
            claimed = claim(self._store, Holder(host="here", pid=self._life, run_id="run"))

            def put(copied: cut.Copied) -> cut.Copied:
                before = same_history(claimed.manifests, "run", copied.records[0].lineage)
                store_cut(copied, _FACTS, claimed, machine.disk, before)
                return copied

            while True:
                machine.schedule.wait(machine.random.expovariate(1 / self.mean_pause_s), ringable=False)
                try:
                    tell_durable(self._run(), cut.copy_run(self._run(), self._life, put))
                except QueueDamaged:
                    if machine.damaged:  # it is told, and the checkpoint before counts
                        continue
                    raise
                claimed.retain(3)
        except (Killed, Violation, SystemError):
            raise
        except BaseException as exc:
            machine.schedule.violate(f"a checkpoint failed: {type(exc).__name__}: {exc}")

    def _run(self) -> cut.RunFiles:
        machine = self._machine
        return cut.RunFiles(
            RunPaths(RUN), self._shape, self._letters, self._topology.membership.letters, machine.opening,
            machine.disk, machine.bell_at,
            machine.clock.wall_s,
        )

    def _durable_records(self, group: str) -> list[Record]:
        """Of all slots, because a split may have been another slot's when it was taken."""
        manifests = read_log(self._store).manifests
        found = records_of(manifests[-1], "memory") if manifests else {}
        return [record for (name, _), record in found.items() if name == group]

    @property
    def newest(self) -> Manifest | None:
        """What would be restored."""
        manifests = claim(self._store, Holder(host="here", pid=0, run_id="run")).manifests
        return manifests[-1] if manifests else None

    def restore(self) -> Topology:
        """The machine is lost, with all that is in its memory, and the newest checkpoint is put in its place.

        Gives the slots that there are from now on, which may be others.
        """
        manifest, machine, paths = self.newest, self._machine, RunPaths(RUN)
        assert manifest is not None
        self.restores += 1
        lost, machine.memory = machine.memory, MemoryFiles()
        if machine.random.random() < 0.5:  # the state directory has outlived it
            groups = self._topology.plan.slot_groups()
            there = [letters_file(self._letters, group, number) for group in groups for number in range(MOST_WORKERS)]
            for path in filter(lost.exists, there):
                machine.memory.open(path, 0o102).pwrite(lost.open(path, 0).pread(1 << 40, 0), 0)
        to = Restoring(
            self._store, manifest, paths, self._letters, lineage_of(manifest) + 1000 * self.restores,
            self._topology.membership.letters, machine.memory.share, machine.memory, lambda folder: None,
        )
        wanted = other_workers(self._topology.plan, machine.random) if machine.random.random() < 0.7 else None
        if wanted is None or not self._rescale(to, wanted):
            capacities = {queue.path.name: queue.capacity for queue in queue_files(self._topology, paths)}
            restore(to, self._shape, capacities, ())
        for slot in slot_files(self._topology, paths):
            load_record(slot.journal, machine.memory.share)
            for page in slot.pages:
                Page.create(page, machine.memory)
        return self._topology

    def _rescale(self, to: Restoring, wanted: Plan) -> bool:
        """As `engine/resume.py`. False: what is on its way has no place to go."""
        before = self._topology.membership
        found = changes(fingerprint(self._topology.plan), before, wanted)
        earlier = earlier_run(to.store, to.manifest, found.earlier, before, records_of(to.manifest, ""), ())
        topology = Topology(wanted, membership_for(before, wanted))
        try:
            run = rescaled(topology, found, earlier)
        except LayoutChanged:
            return False
        self.rescales += 1
        self._machine.slots_of_keys.clear()
        for name, (workers, now) in found.rescaled.items():  # as `gone_sinks`
            if isinstance(wanted.stages[name].sink, ByPosition):
                for slot in range(now, workers):
                    written = earlier.stage(name, slot).sink_position or 0
                    self._machine.cut_back(self._machine.target(name, slot), written)
        write_rescaled(to, run)
        topology = Topology(wanted, membership_for(before, wanted, letters=letters_of_gone(run)))
        self._topology, self._shape = topology, shape_of(layout_of(topology, 0.0))
        return True


def other_workers(plan: Plan, random: Random) -> Plan | None:
    """The plan with other numbers of workers, where nothing that is checked depends on them; None: there is no such."""
    fixed = {
        end for edge in plan.edges if edge.merge or edge.route in (Route.FORWARD, Route.DEAL, Route.BROADCAST)
        for end in (edge.sender, edge.receiver)
    }
    stages = {
        name: replace(stage, settings=replace(stage.settings, workers=random.randint(1, MOST_WORKERS)))
        if stage.settings.workers > 1 and name not in fixed and not stage.settings.ordered else stage
        for name, stage in plan.stages.items()
    }
    return None if stages == plan.stages else replace(plan, stages=stages)


_FACTS = RunFacts("simulated", "run", {}, b"", b"")

