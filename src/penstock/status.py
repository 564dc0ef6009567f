"""The status of a running pipeline: frozen values that `metrics.rates` computes and everything else displays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

Phase: TypeAlias = Literal["starting", "running", "draining", "ended", "failed", "left"]


@dataclass(frozen=True, slots=True)
class EventTimeStatus:
    """How far event time has come, where rows have event times. Of several slots, the one furthest behind counts."""

    watermark_s: float | None
    """Rows that happened before this are late, in seconds since 1970; None: nothing is known yet, or all has ended."""
    lag_s: float | None
    """How far that is behind the clock on the wall."""
    ended: bool
    """True: nothing comes any more."""
    inputs: int
    """Of a stage its slots, of an edge its queues."""
    idle_inputs: int
    """How many of them have nothing, and are not waited for."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage, all its workers together. Restarts do not reset counts; rates and shares cover the last interval."""

    name: str
    workers: int
    rows_in: int
    rows_out: int
    rows_in_per_s: float
    rows_out_per_s: float
    busy_share: float
    """Share of the workers' time spent on rows. Together with the two waits it is 1 (all 0: no worker was up)."""
    input_wait_share: float
    """Share spent waiting for rows."""
    output_wait_share: float
    """Share spent waiting for room in a queue after the stage."""
    batch_p50_s: float
    """From taking a batch to its commit."""
    batch_p99_s: float
    retries: int
    dead_letters: int
    skipped: int
    restarts: int
    last_error: str | None
    late: int = 0
    """Rows that came after the event time for which they were waited for."""
    event_time: EventTimeStatus | None = None
    """None: rows have no event time here."""
    splits_event_time: EventTimeStatus | None = None
    """Of a source that gives rows their times: its splits as inputs."""


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """One edge, all its queues together."""

    name: str
    """`sender->receiver`."""
    queued_rows: int
    queued_bytes: int
    capacity_bytes: int
    oldest_s: float
    """Age of the oldest waiting row; 0.0: none is waiting."""
    dropped_rows: int
    event_time: EventTimeStatus | None = None
    """As far as the receiver has read; None: rows have no event time here."""


@dataclass(frozen=True, slots=True)
class CheckpointStatus:
    """How the checkpoints of a run get on."""

    store: str
    newest: str
    """The id of the newest one; empty: there is none yet."""
    age_s: float
    """Since the newest one was taken; 0.0: there is none yet."""
    took_s: float
    size_bytes: int
    """All that it holds; `written_bytes` of it are not shared with those before."""
    written_bytes: int
    failed: int
    """Attempts that failed since the run, or its checkpointer, was started."""
    last_error: str | None
    """Why the last attempt failed; None: it did not."""


@dataclass(frozen=True, slots=True)
class Status:
    """A pipeline at one moment."""

    pipeline: str
    phase: Phase
    uptime_s: float
    end_to_end_p50_s: float
    """From a row's ingestion to its commit in the last stage; 0.0: no row has arrived yet."""
    end_to_end_p99_s: float
    bottleneck: str | None
    """The stage that limits the pipeline; None: nothing is saturated."""
    stages: Mapping[str, StageStatus]
    edges: Mapping[str, EdgeStatus]
    checkpoints: CheckpointStatus | None = None
    """None: the run has no store for them, or none was tried yet."""
    resumed: str | None = None
    """From where the run resumed, in words; None: it began from the beginning."""

    def to_json(self) -> str:
        """Return the status as one JSON object."""
        return msgspec.json.encode(self).decode()
