"""Every number that a slot keeps, by name: its word in the slot's page, its unit, and who writes it.

A page belongs to one stage in one slot (`metrics/page.py` maps it) and outlives the worker, so its numbers grow
monotonically over restarts.
"""

from __future__ import annotations

from enum import IntEnum


class Word(IntEnum):
    """Index of a 64-bit word in a page."""

    MAGIC = 0
    VERSION = 1

    # Committed counts: set from the journal when a turn is published, so they are exact after any kill.
    ROWS_IN = 8
    ROWS_OUT = 9
    RETRIES = 10
    DEAD_LETTERS = 11
    SKIPPED = 12
    FRAMES_IN = 13
    FRAMES_OUT = 14
    BYTES_IN = 15
    BYTES_OUT = 16
    COMMITS = 17
    ROWS_FAILED_BEFORE_SUCCESS = 18
    """Rows that failed while no row of this slot had yet succeeded."""
    ROWS_SUCCEEDED = 19

    # Kept by the living worker.
    BUSY_NS = 24
    INPUT_WAIT_NS = 25
    OUTPUT_WAIT_NS = 26
    ACTIVITY = 27
    """An `Activity`."""
    ACTIVITY_SINCE_NS = 28
    """CLOCK_MONOTONIC at which the activity began; what passed since is not yet in the three sums above."""
    LAST_PROGRESS_NS = 29
    """CLOCK_MONOTONIC of the last commit."""
    LONGEST_BLOCKED_NS = 30
    """Longest single wait for output room."""

    # Kept by the supervisor.
    RESTARTS = 40
    PID = 41
    ATTEMPT = 42

    # Histograms, `latency.BUCKETS` words each.
    BATCH_LATENCY = 64
    """Nanoseconds from taking a batch to its commit."""
    END_TO_END = 64 + 512
    """Nanoseconds from a row's ingestion to its commit in a stage without outputs (oldest row of each frame)."""


class Activity(IntEnum):
    """What a worker is doing."""

    NONE = 0
    STARTING = 1
    BUSY = 2
    WAITING_FOR_INPUT = 3
    WAITING_FOR_OUTPUT = 4
    FINISHED = 5


MAGIC = 0x5045_4E53_5041_4745
"""`PENSPAGE`"""
VERSION = 1
PAGE_WORDS = 64 + 2 * 512
PAGE_BYTES = 12288
