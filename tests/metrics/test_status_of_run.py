"""Promises of comparing two snapshots."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_dirs import SECOND_NS, HandClock, HandmadeRun

from penstock.metrics.catalogue import PAGE_WORDS, Activity, Word
from penstock.metrics.layout import StageLayout
from penstock.metrics.rates import compute
from penstock.metrics.snapshot import PageReading, Snapshot, StageReading, take_snapshot


def shares(stage: str, before: Snapshot | None, after: Snapshot) -> tuple[float, float, float]:
    made = compute(before, after).stages[stage]
    busy, idle, blocked = made.busy_share, made.input_wait_share, made.output_wait_share
    return round(busy, 6), round(idle, 6), round(blocked, 6)


def test_rates_are_of_the_interval_and_counts_of_the_whole_run(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("enrich", workers=2)
    made.write()
    made.add("enrich", {Word.ROWS_IN: 1000, Word.ROWS_OUT: 900, Word.RETRIES: 3, Word.RESTARTS: 1}, slot=0)
    before = take_snapshot(made.path, clock)
    clock.sleep(2)
    made.add("enrich", {Word.ROWS_IN: 200, Word.ROWS_OUT: 100, Word.DEAD_LETTERS: 4}, slot=0)
    made.add("enrich", {Word.ROWS_IN: 300, Word.SKIPPED: 5}, slot=1)

    status = compute(before, take_snapshot(made.path, clock))
    stage = status.stages["enrich"]

    assert (stage.rows_in, stage.rows_out) == (1500, 1000)
    assert (stage.retries, stage.dead_letters, stage.skipped, stage.restarts) == (3, 4, 5, 1)
    assert stage.rows_in_per_s == pytest.approx(250)
    assert stage.rows_out_per_s == pytest.approx(50)
    assert status.uptime_s == pytest.approx(2)


def test_shares_are_of_all_slots_and_of_the_interval_only(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("enrich", workers=2)
    made.write()
    made.spend("enrich", busy=500)
    before = take_snapshot(made.path, clock)
    clock.sleep(1)
    made.spend("enrich", busy=1.0)
    made.spend("enrich", slot=1, idle=0.5, blocked=0.5)
    assert shares("enrich", before, take_snapshot(made.path, clock)) == (0.5, 0.25, 0.25)


def test_an_activity_in_progress_counts_from_its_beginning(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("enrich")
    made.write()
    made.spend("enrich", idle=9)
    made.begin("enrich", Activity.BUSY)
    clock.sleep(10)
    before = take_snapshot(made.path, clock)
    clock.sleep(1)
    after = take_snapshot(made.path, clock)
    assert shares("enrich", before, after) == (1.0, 0.0, 0.0)
    assert shares("enrich", None, after) == (0.55, 0.45, 0.0)


def test_an_activity_that_closed_in_the_interval_is_not_counted_twice(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("enrich")
    made.write()
    made.begin("enrich", Activity.BUSY)
    clock.sleep(5)
    before = take_snapshot(made.path, clock)
    clock.sleep(1)
    made.spend("enrich", busy=6)
    made.begin("enrich", Activity.WAITING_FOR_INPUT)
    clock.sleep(3)
    assert shares("enrich", before, take_snapshot(made.path, clock)) == (0.25, 0.75, 0.0)


def test_a_spell_that_is_read_while_it_is_booked_counts_as_the_interval_at_most(
    made: HandmadeRun, clock: HandClock
) -> None:
    made.stage("enrich", workers=2)
    made.write()
    made.begin("enrich", Activity.WAITING_FOR_INPUT)
    clock.sleep(100)
    before = take_snapshot(made.path, clock)
    clock.sleep(1)
    made.spend("enrich", idle=101)  # booked, and not yet followed by the next activity
    made.spend("enrich", slot=1, busy=1)
    assert shares("enrich", before, take_snapshot(made.path, clock)) == (0.5, 0.5, 0.0)


@pytest.mark.parametrize("activity", [Activity.NONE, Activity.STARTING, Activity.FINISHED])
def test_a_stage_without_living_workers_has_no_shares(
    made: HandmadeRun, clock: HandClock, activity: Activity
) -> None:
    made.stage("enrich")
    made.write()
    made.begin("enrich", activity)
    before = take_snapshot(made.path, clock)
    clock.sleep(1)
    assert shares("enrich", before, take_snapshot(made.path, clock)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("phase", ["ended", "failed"])
def test_the_activity_of_a_dead_worker_no_longer_counts_once_the_run_is_over(
    made: HandmadeRun, clock: HandClock, phase: str
) -> None:
    made.stage("enrich")
    made.write(phase)
    made.begin("enrich", Activity.BUSY)
    before = take_snapshot(made.path, clock)
    clock.sleep(60)
    status = compute(before, take_snapshot(made.path, clock))
    assert status.stages["enrich"].busy_share == 0.0
    assert status.bottleneck is None


def test_without_an_earlier_snapshot_rates_are_zero(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("enrich")
    made.write()
    made.add("enrich", {Word.ROWS_IN: 1000})
    assert compute(None, take_snapshot(made.path, clock)).stages["enrich"].rows_in_per_s == 0.0


def test_a_snapshot_of_an_earlier_run_is_not_compared(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("enrich")
    made.write()
    before = take_snapshot(made.path, clock)
    clock.sleep(1)
    made.started_s = clock.wall()
    made.write()
    made.add("enrich", {Word.ROWS_IN: 1000})
    assert compute(before, take_snapshot(made.path, clock)).stages["enrich"].rows_in_per_s == 0.0


def test_batch_latency_is_of_the_interval_when_batches_were_done_in_it(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("enrich")
    made.write()
    made.observe("enrich", Word.BATCH_LATENCY, 1.0, times=1000)
    before = take_snapshot(made.path, clock)
    clock.sleep(1)
    quiet = compute(before, take_snapshot(made.path, clock)).stages["enrich"]
    made.observe("enrich", Word.BATCH_LATENCY, 0.01, times=10)
    lively = compute(before, take_snapshot(made.path, clock)).stages["enrich"]
    assert quiet.batch_p50_s == pytest.approx(1.0, rel=1 / 16)
    assert lively.batch_p99_s == pytest.approx(0.01, rel=1 / 16)


def test_end_to_end_latency_is_that_of_the_stages_without_outputs(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("ingest")
    made.stage("out")
    made.edge("ingest", "out")
    made.write()
    made.observe("ingest", Word.END_TO_END, 50.0, times=100)
    made.observe("out", Word.END_TO_END, 0.002, times=98)
    made.observe("out", Word.END_TO_END, 0.5, times=2)
    status = compute(None, take_snapshot(made.path, clock))
    assert status.end_to_end_p50_s == pytest.approx(0.002, rel=1 / 16)
    assert status.end_to_end_p99_s == pytest.approx(0.5, rel=1 / 16)


def test_an_edge_adds_its_queues_and_tells_the_age_of_the_oldest_row(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("ingest")
    made.stage("out")
    made.edge("ingest", "out", capacity=5000, queues=3)
    made.write()
    now_ns = int(clock.wall() * SECOND_NS)
    made.fill("ingest->out", queued=100, rows=2, oldest_ns=now_ns - 3 * SECOND_NS, index=0)
    made.fill("ingest->out", queued=300, rows=5, oldest_ns=now_ns - 4 * SECOND_NS, index=1)
    edge = compute(None, take_snapshot(made.path, clock)).edges["ingest->out"]
    assert (edge.queued_rows, edge.queued_bytes, edge.capacity_bytes) == (7, 400, 5000)
    assert edge.oldest_s == pytest.approx(4.0, abs=1e-3)


def test_an_edge_whose_queues_are_empty_has_no_age(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("ingest")
    made.stage("out")
    made.edge("ingest", "out")
    made.write()
    assert compute(None, take_snapshot(made.path, clock)).edges["ingest->out"].oldest_s == 0.0


def test_the_calling_process_is_known_by_the_rows_it_took(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("ingest")
    made.stage("results", caller=True)
    made.edge("ingest", "results")
    made.write()
    made.fill("ingest->results", queued=10, rows=1, read=42)
    stage = compute(None, take_snapshot(made.path, clock)).stages["results"]
    assert (stage.workers, stage.rows_in) == (0, 42)


def test_a_status_is_one_json_object_with_everything_in_it(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("ingest")
    made.stage("out")
    made.edge("ingest", "out")
    made.write()
    decoded = json.loads(compute(None, take_snapshot(made.path, clock)).to_json())
    assert decoded["pipeline"] == "clicks"
    assert decoded["bottleneck"] is None
    assert set(decoded["stages"]) == {"ingest", "out"}
    assert decoded["edges"]["ingest->out"]["capacity_bytes"] == 1000


TIMES = st.integers(0, 10**12)
READINGS = st.lists(st.tuples(TIMES, TIMES, TIMES, st.sampled_from(Activity), TIMES), min_size=1, max_size=4)


def snapshot_of(slots: list[tuple[int, int, int, Activity, int]], at_s: float) -> Snapshot:
    pages = []
    for busy, idle, blocked, activity, since in slots:
        words = [0] * PAGE_WORDS
        words[Word.BUSY_NS], words[Word.INPUT_WAIT_NS], words[Word.OUTPUT_WAIT_NS] = busy, idle, blocked
        words[Word.ACTIVITY], words[Word.ACTIVITY_SINCE_NS] = activity, since
        pages.append(PageReading(int(at_s * SECOND_NS), tuple(words)))
    stage = StageReading(StageLayout("s", "s", len(pages)), tuple(pages), None)
    return Snapshot("p", "running", 0.0, at_s, at_s, {"s": stage}, {})


@given(READINGS, READINGS)
def test_shares_add_up_to_one_or_to_nothing_whatever_is_read(
    earlier: list[tuple[int, int, int, Activity, int]], later: list[tuple[int, int, int, Activity, int]]
) -> None:
    stage = compute(snapshot_of(earlier, 1.0), snapshot_of(later, 2000.0)).stages["s"]
    parts = (stage.busy_share, stage.input_wait_share, stage.output_wait_share)
    assert all(0.0 <= part <= 1.0 for part in parts)
    assert sum(parts) == pytest.approx(1.0) or parts == (0.0, 0.0, 0.0)
