"""What a run consists of follows from its topology alone: nothing here touches a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.engine import engine
from penstock.engine.descriptor_needs import descriptors_needed, descriptors_of_caller
from penstock.engine.run_spec import bytes_needed, layout_of, queue_files, run_spec, slot_files
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan
from penstock.plan.topology import Topology
from penstock.slot.records.life import Crash
from penstock.supervisor.protocol import RunSpec

NOWHERE = RunPaths(Path("/nowhere/at/all"))


def same(row: int) -> int:
    return row


def topology(**options: Any) -> Topology:
    app = ps.Pipeline("app")
    app.source(list(range(4))).stage("x", **options).map(same).stage("y").map(same).sink(print)
    return Topology.first(app.plan())


def with_results(monkeypatch: pytest.MonkeyPatch) -> Topology:
    """What `results()` has the engine run: two workers, read by the caller."""
    plans: list[Plan] = []
    monkeypatch.setattr(engine, "results", lambda plan, **_: plans.append(plan))
    ps.Pipeline("app").source(list(range(4))).stage("x", workers=2).map(same).results()
    return Topology.first(plans[0])


def told(found: Topology, **crashes: tuple[Crash, ...]) -> RunSpec:
    return run_spec(
        found, run_id="r", dead_letters=Path("/letters"), crashes=crashes, program=b"p", preload=("m",), log_level=20,
        left_to=None,
    )


def test_there_is_a_queue_for_each_channel_and_room_is_asked_for_all_of_them() -> None:
    found = topology(workers=3)
    queues = queue_files(found, NOWHERE)
    assert [queue.path for queue in queues] == [
        NOWHERE.queue(c.edge, c.sender, c.receiver) for c in found.channels()
    ]
    assert sum(queue.capacity for queue in queues) < bytes_needed(found)
    assert bytes_needed(found) < bytes_needed(topology(workers=30))


def test_each_slot_has_a_journal_whose_first_record_names_its_queues() -> None:
    found = topology(workers=3)
    files = {(slot.group, slot.number): slot for slot in slot_files(found, NOWHERE)}
    assert list(files) == [(slot.group, slot.number) for slot in found.slots()]
    x = files["x", 2]
    assert x.journal == NOWHERE.slot("x", 2).journal
    assert x.pages == (NOWHERE.page(found.plan, "x", 2),)
    assert [(len(stage.inputs), len(stage.outputs)) for stage in x.record.stages] == [(1, 1)]
    assert [(len(stage.inputs), len(stage.outputs)) for stage in files["y", 0].record.stages] == [(3, 1)]


def test_the_supervisor_is_told_each_slot_with_the_bells_of_its_neighbours() -> None:
    found = topology(workers=2)
    spec = told(found)
    by_label = {slot.label: slot for slot in spec.slots}
    assert list(by_label) == ["items/0", "x/0", "x/1", "y/0", "stdout/0"]
    assert by_label["x/1"].senders == ("slots/items.0/bell",)
    assert by_label["x/1"].receivers == ("slots/y.0/bell",)
    assert by_label["items/0"].receivers == ("slots/x.0/bell", "slots/x.1/bell")


def test_everything_that_is_told_lies_in_the_run_directory() -> None:
    spec = told(topology(workers=2))
    paths = [*spec.queues, *(page for stage in spec.stages for page in stage.pages)]
    assert paths and not any(Path(path).is_absolute() or ".." in path for path in paths)


def test_what_the_calling_process_reads_has_no_worker_and_its_own_queues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = with_results(monkeypatch)
    spec = told(found)
    assert {slot.group for slot in spec.slots} == {"items", "x"}
    assert {stage.name for stage in spec.stages} == {"items", "x"}
    assert len(spec.caller_queues) == 2 and set(spec.caller_queues) < set(spec.queues)
    (caller,) = (slot for slot in slot_files(found, NOWHERE) if slot.caller)
    assert (caller.journal, caller.pages) == (NOWHERE.caller_journal, ())
    assert descriptors_of_caller(found) > descriptors_of_caller(topology())


def test_a_test_s_crashes_go_to_the_slots_of_their_stage() -> None:
    crash = Crash("before commit", 3)
    assert {slot.label for slot in told(topology(workers=2), x=(crash,)).slots if slot.crashes} == {"x/0", "x/1"}


@pytest.mark.parametrize(("options", "told_as"), [({"timeout": "2s"}, 2.0), ({}, None)])
def test_time_outs_are_told_in_seconds(options: dict[str, Any], told_as: float | None) -> None:
    (slot,) = (slot for slot in told(topology(**options)).slots if slot.group == "x")
    assert slot.timeout_s == told_as


def test_the_layout_shows_every_stage_and_edge_with_their_files() -> None:
    found = topology(workers=2)
    layout = layout_of(found, 7.0)
    assert layout.started_s == 7.0
    assert [stage.workers for stage in layout.stages] == [found.workers(name) for name in found.plan.stages]
    assert [len(edge.queues) for edge in layout.edges] == [len(found.pairs(edge)) for edge in found.plan.edges]


def test_more_slots_need_more_descriptors() -> None:
    assert descriptors_needed(topology(workers=300)) > descriptors_needed(topology(workers=2))
