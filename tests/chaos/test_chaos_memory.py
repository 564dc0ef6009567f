"""A slow end holds the beginning up: memory stays within what was planned, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chaos_harness import Collected, CountedUntil, assert_nothing_left, for_chaos, processes_of, seconds
from chaos_stages import HeldUntil, Padded, SlowlyCut, same

import penstock as ps
from penstock.engine import engine
from penstock.engine.handle import Handle

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

MIB = 1024 * 1024
SAMPLE_S = 0.5
GROWS_MOST_BYTES = 4 * MIB
"""Over all processes and files, once the queues are full."""
BEYOND_BUDGET = 1.1
"""The budget is what the plan reserves for edges, and what the pipeline takes while it idles."""
EDGE = ps.Edge(batch_rows=50)
EDGE_IS_FULL_BYTES = 6 * MIB
"""Of the 8 MiB that an edge has; a writer waits when its next frame does not fit."""


@dataclass(frozen=True)
class Sample:
    """Bytes at one moment."""

    processes: int
    files: int

    @property
    def total(self) -> int:
        return self.processes + self.files


def _sample(run_dir: Path) -> Sample:
    """Private memory of every process (the queues that they map are counted once, as files) and the run directory."""
    private = sum(_private_bytes(pid) for pid in processes_of(run_dir))
    return Sample(private, sum(path.stat().st_blocks * 512 for path in run_dir.rglob("*") if path.is_file()))


def _private_bytes(pid: int) -> int:
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) * 1024
    return fields["Pss"] - fields.get("Pss_Shmem", 0)


def _queues_are_within_budget(handle: Handle) -> bool:
    return all(edge.queued_bytes <= edge.capacity_bytes for edge in handle.status().edges.values())


def _sampled(handle: Handle, for_s: float) -> list[Sample]:
    samples = []
    for _ in range(int(for_s / SAMPLE_S)):
        assert not handle.wait_a_while(SAMPLE_S)
        samples.append(_sample(handle.run_dir))
        assert _queues_are_within_budget(handle)
    return samples


def _pipeline(name: str, numbers: Callable[[], Iterator[tuple[int, str]]], out: Collected) -> ps.Pipeline:
    """A thousandth of a second for each row, which the source makes in less than a hundredth of that."""
    app = ps.Pipeline(name)
    passed = app.source(numbers, name="numbers").stage("pass", edge=EDGE).map(same)
    passed.stage("slow", edge=EDGE).map(SlowlyCut(0.001)).sink(out)
    return app


def _assert_all_arrived(handle: Handle, out: Collected) -> None:
    report = handle.wait(timeout="60s")
    assert out.rows() == list(range(report.stages["numbers"].rows_in))
    assert len(out.rows()) > 1000
    assert_nothing_left(handle.run_dir)


def test_memory_stays_flat_and_nothing_is_lost_when_the_sink_is_much_slower_than_the_source(tmp_path: Path) -> None:
    enough, out = tmp_path / "enough", Collected(tmp_path, "rows")
    app = _pipeline("chaos-memory", Padded(CountedUntil(enough)), out)
    handle = engine.start(for_chaos(app.plan(), 128 * 1024), fresh=True, state_dir=tmp_path)
    assert not handle.wait_a_while(3 * SAMPLE_S)
    samples = _sampled(handle, seconds(4.0))
    enough.touch()
    _assert_all_arrived(handle, out)
    first, most = samples[0].total, max(sample.total for sample in samples)
    assert most - first < GROWS_MOST_BYTES, samples


def test_memory_exceeds_what_the_plan_reserves_and_an_idle_pipeline_takes_by_a_tenth_at_most(tmp_path: Path) -> None:
    enough, go, out = tmp_path / "enough", tmp_path / "go", Collected(tmp_path, "rows")
    app = _pipeline("chaos-budget", HeldUntil(go, Padded(CountedUntil(enough))), out)
    plan = app.plan()
    handle = engine.start(for_chaos(plan), fresh=True, state_dir=tmp_path)
    idle = _sampled(handle, 2.0)[-1]
    # Everything that rows may stand in is there already: no file is added to it.
    assert idle.files >= sum(edge.memory_bytes for edge in plan.edges)
    go.touch()
    samples = _sampled(handle, seconds(4.0))
    assert max(edge.queued_bytes for edge in handle.status().edges.values()) > EDGE_IS_FULL_BYTES
    handle.stop()
    assert max(sample.files for sample in samples) == idle.files
    assert max(sample.total for sample in samples) <= BEYOND_BUDGET * idle.total, (idle, samples)
    assert_nothing_left(handle.run_dir)
