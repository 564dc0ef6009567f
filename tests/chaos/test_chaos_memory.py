"""A slow end holds the beginning up: memory stays as it is, and nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from chaos_harness import Collected, CountedUntil, assert_nothing_left, for_chaos, processes_of, seconds
from chaos_stages import Padded, SlowlyCut, same

import penstock as ps
from penstock.engine import engine
from penstock.engine.handle import Handle

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

MIB = 1024 * 1024
SAMPLE_S = 0.5
GROWS_MOST_BYTES = 4 * MIB
"""Over all processes and files, once the queues are full."""
EDGE = ps.Edge(batch_rows=50)


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


def test_memory_stays_flat_and_nothing_is_lost_when_the_sink_is_much_slower_than_the_source(tmp_path: Path) -> None:
    enough, out = tmp_path / "enough", Collected(tmp_path, "rows")
    app = ps.Pipeline("chaos-memory")
    made = app.source(Padded(CountedUntil(enough)), name="numbers")
    passed = made.stage("pass", edge=EDGE).map(same)
    # A thousandth of a second for each row, which the source makes in less than a hundredth of that.
    passed.stage("slow", edge=EDGE).map(SlowlyCut(0.001)).sink(out)
    handle = engine.start(for_chaos(app.plan(), 128 * 1024), fresh=True, state_dir=tmp_path)
    assert not handle.wait_a_while(3 * SAMPLE_S)
    samples = []
    for _ in range(int(seconds(4.0) / SAMPLE_S)):
        assert not handle.wait_a_while(SAMPLE_S)
        samples.append(_sample(handle.run_dir))
        assert _queues_are_within_budget(handle)
    enough.touch()
    report = handle.wait(timeout="60s")
    first, most = samples[0].total, max(sample.total for sample in samples)
    assert most - first < GROWS_MOST_BYTES, samples
    assert out.rows() == list(range(report.stages["numbers"].rows_in))
    assert len(out.rows()) > 1000
    assert_nothing_left(handle.run_dir)
