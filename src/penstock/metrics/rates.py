"""Two snapshots of a run become a status: counts as they stand, rates and shares of the time between the two.

Pure: `snapshot.py` reads, this compares, `diagnosis.py` names the bottleneck.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from operator import sub
from typing import TypeAlias

from penstock.metrics import event_times, latency
from penstock.metrics.catalogue import MOST_RECEIVERS, Activity, Word
from penstock.metrics.diagnosis import find_bottleneck
from penstock.metrics.snapshot import EdgeReading, PageReading, Snapshot, StageReading
from penstock.status import CheckpointStatus, EdgeStatus, StageStatus, Status

Spent: TypeAlias = tuple[int, int, int]
"""Nanoseconds busy, waiting for input, waiting for output."""

_OPEN = {Activity.BUSY: 0, Activity.WAITING_FOR_INPUT: 1, Activity.WAITING_FOR_OUTPUT: 2}
_ALIVE = ("starting", "running", "draining")


def compute(before: Snapshot | None, after: Snapshot) -> Status:
    """The status at `after`. Without a `before` of the same run rates are 0 and shares are of the whole time."""
    if before is not None and before.started_s != after.started_s:
        before = None
    stages = {
        name: _stage_status(before.stages.get(name) if before else None, stage, after)
        for name, stage in after.stages.items()
    }
    edges = {name: _edge_status(edge, after) for name, edge in after.edges.items()}
    p50_s, p99_s = _end_to_end(before, after)
    return Status(
        pipeline=after.pipeline,
        phase=after.phase,
        uptime_s=max(0.0, after.wall_s - after.started_s),
        end_to_end_p50_s=p50_s,
        end_to_end_p99_s=p99_s,
        bottleneck=find_bottleneck(stages, edges) if after.phase in _ALIVE else None,
        stages=stages,
        edges=edges,
        checkpoints=_checkpoints(after),
        resumed=after.resumed or None,
    )


def _checkpoints(now: Snapshot) -> CheckpointStatus | None:
    state = now.checkpoints
    if state is None:
        return None
    age_s = max(now.wall_s - state.taken_s, 0.0) if state.id else 0.0
    return CheckpointStatus(
        state.store, state.id, age_s, state.took_s, state.content_bytes, state.own_bytes, state.failed,
        state.last_error or None,
    )


def _stage_status(before: StageReading | None, after: StageReading, now: Snapshot) -> StageStatus:
    if after.layout.caller:
        return _caller_status(after, now)
    earlier, name = before.pages if before else (), after.layout.name
    alive = now.phase in _ALIVE
    busy, input_wait, output_wait = _shares(_spent_between(earlier, after.pages, alive))
    p50_s, p99_s = _quantiles(earlier, after.pages, Word.BATCH_LATENCY)
    return StageStatus(
        name=name,
        workers=after.layout.workers,
        rows_in=_sum(after.pages, Word.ROWS_IN),
        rows_out=_sum(after.pages, Word.ROWS_OUT),
        rows_in_per_s=_rate(earlier, after.pages, Word.ROWS_IN),
        rows_out_per_s=_rate(earlier, after.pages, Word.ROWS_OUT),
        busy_share=busy,
        input_wait_share=input_wait,
        output_wait_share=output_wait,
        batch_p50_s=p50_s,
        batch_p99_s=p99_s,
        retries=_sum(after.pages, Word.RETRIES),
        dead_letters=_sum(after.pages, Word.DEAD_LETTERS) + _unsent(after.layout.name, now, Word.UNSENT),
        skipped=_sum(after.pages, Word.SKIPPED) + _unsent(after.layout.name, now, Word.UNSENT + 1),
        restarts=_sum(after.pages, Word.RESTARTS),
        last_error=after.last_error,
        late=_sum(after.pages, Word.LATE),
        event_time=event_times.of_stage(after.pages, now.wall_s),
        splits_event_time=None if _inputs(name, now) else event_times.of_edge(after.pages, 0, now.wall_s),
    )


def _caller_status(stage: StageReading, now: Snapshot) -> StageStatus:
    """The calling process has no page: only what it took from its queues is known."""
    name = stage.layout.name
    inputs = [edge for edge in now.edges.values() if edge.layout.receiver == name]
    taken = sum(queue.rows_read for edge in inputs for queue in edge.queues)
    return StageStatus(
        name=name, workers=0, rows_in=taken, rows_out=0, rows_in_per_s=0.0, rows_out_per_s=0.0,
        busy_share=0.0, input_wait_share=0.0, output_wait_share=0.0, batch_p50_s=0.0, batch_p99_s=0.0,
        retries=0, dead_letters=0, skipped=0, restarts=0, last_error=stage.last_error,
    )  # fmt: skip


def _inputs(stage: str, now: Snapshot) -> list[str]:
    """The names of the edges that end at a stage, in the order of the plan."""
    return [name for name, edge in now.edges.items() if edge.layout.receiver == stage]


def _edge_status(edge: EdgeReading, now: Snapshot) -> EdgeStatus:
    receiver, wall_s = edge.layout.receiver, now.wall_s
    place = _inputs(receiver, now).index(edge.layout.name)
    oldest_ns = min((queue.oldest_wall_ns for queue in edge.queues if queue.oldest_wall_ns), default=0)
    return EdgeStatus(
        name=edge.layout.name,
        queued_rows=sum(queue.queued_rows for queue in edge.queues),
        queued_bytes=sum(queue.queued_bytes for queue in edge.queues),
        capacity_bytes=edge.layout.capacity_bytes,
        oldest_s=max(0.0, wall_s - oldest_ns * 1e-9) if oldest_ns else 0.0,
        dropped_rows=0,
        event_time=event_times.of_edge(now.stages[receiver].pages, place, wall_s),
    )


def _sum(pages: Iterable[PageReading], word: int) -> int:
    return sum(page.words[word] for page in pages)


def _unsent(stage: str, now: Snapshot, word: int) -> int:
    """What senders tell of rows that they could not send to this stage. `word`: that of their first receiver."""
    total = 0
    for sender in {edge.layout.sender for edge in now.edges.values() if edge.layout.receiver == stage}:
        receivers = sorted({edge.layout.receiver for edge in now.edges.values() if edge.layout.sender == sender})
        if (number := receivers.index(stage)) < MOST_RECEIVERS:
            total += _sum(now.stages[sender].pages, word + 2 * number)
    return total


def _rate(earlier: Sequence[PageReading], later: Sequence[PageReading], word: int) -> float:
    """Per second, over the slots that both snapshots have."""
    total = 0.0
    for a, b in zip(earlier, later, strict=False):
        passed_s = (b.at_ns - a.at_ns) * 1e-9
        if passed_s > 0:
            total += max(0, b.words[word] - a.words[word]) / passed_s
    return total


def spent(page: PageReading, *, alive: bool = True) -> Spent:
    """A slot's time so far, with the activity that is still open; of a run that ended nothing is."""
    words = page.words
    times = [words[Word.BUSY_NS], words[Word.INPUT_WAIT_NS], words[Word.OUTPUT_WAIT_NS]]
    since_ns = words[Word.ACTIVITY_SINCE_NS]
    kind = _OPEN.get(Activity(words[Word.ACTIVITY])) if words[Word.ACTIVITY] <= max(Activity) else None
    if alive and kind is not None and since_ns:
        times[kind] += max(0, page.at_ns - since_ns)
    return times[0], times[1], times[2]


def _spent_between(earlier: Sequence[PageReading], later: Sequence[PageReading], alive: bool) -> Spent:
    sums = [0, 0, 0]
    for a, b in zip_longest(earlier[: len(later)], later):
        start = spent(a, alive=alive) if a is not None else (0, 0, 0)
        most_ns = b.at_ns - a.at_ns if a is not None else sum(spent(b, alive=alive))
        for kind, passed_ns in enumerate(map(sub, spent(b, alive=alive), start)):
            # A time that shrinks, or grows faster than the clock, was read while its worker was at it.
            sums[kind] += min(max(0, passed_ns), most_ns)
    return sums[0], sums[1], sums[2]


def _shares(times: Spent) -> tuple[float, float, float]:
    total = sum(times)
    if total == 0:
        return 0.0, 0.0, 0.0
    return times[0] / total, times[1] / total, times[2] / total


def _quantiles(earlier: Sequence[PageReading], later: Sequence[PageReading], word: int) -> tuple[float, float]:
    """p50 and p99 of what was counted between the two; of everything where nothing was."""
    total = latency.merge([_histogram(page, word) for page in later])
    counts = total
    if earlier and len(earlier) == len(later):
        recent = latency.difference(total, latency.merge([_histogram(page, word) for page in earlier]))
        counts = recent if any(recent) else total
    return latency.quantile(counts, 0.5), latency.quantile(counts, 0.99)


def _histogram(page: PageReading, word: int) -> tuple[int, ...]:
    return page.words[word : word + latency.BUCKETS]


def _end_to_end(before: Snapshot | None, after: Snapshot) -> tuple[float, float]:
    senders = {edge.layout.sender for edge in after.edges.values()}
    last = [name for name in after.stages if name not in senders]
    earlier = _pages(before.stages, last) if before else ()
    return _quantiles(earlier, _pages(after.stages, last), Word.END_TO_END)


def _pages(stages: Mapping[str, StageReading], names: Iterable[str]) -> tuple[PageReading, ...]:
    return tuple(page for name in names if name in stages for page in stages[name].pages)
