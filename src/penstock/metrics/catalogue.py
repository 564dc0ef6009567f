"""Every number that a slot keeps, by name: its word in the slot's page, its unit, and who writes it.

A page belongs to one stage in one slot (`metrics/page.py` maps it) and outlives the worker, so its numbers grow
monotonically over restarts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from penstock.event_time import NO_WATERMARK


class Word:
    """Indices of 64-bit words in a page. No enumeration: a worker looks up a dozen in each turn."""

    MAGIC: Final = 0
    VERSION: Final = 1

    # Committed counts: set from the journal when a turn is published, so they are exact after any kill.
    ROWS_IN: Final = 8
    ROWS_OUT: Final = 9
    RETRIES: Final = 10
    DEAD_LETTERS: Final = 11
    SKIPPED: Final = 12
    FRAMES_IN: Final = 13
    FRAMES_OUT: Final = 14
    BYTES_IN: Final = 15
    BYTES_OUT: Final = 16
    COMMITS: Final = 17
    ROWS_FAILED_BEFORE_SUCCESS: Final = 18
    """Rows that failed while no row of this slot had yet succeeded."""
    ROWS_SUCCEEDED: Final = 19
    ENDED_WITHOUT_SUCCESS: Final = 20
    """1: the slot's input is through, and no row of it has succeeded."""
    LATE: Final = 21
    """Rows that came after the event time for which they were waited for."""

    # Kept by the living worker.
    BUSY_NS: Final = 24
    INPUT_WAIT_NS: Final = 25
    OUTPUT_WAIT_NS: Final = 26
    ACTIVITY: Final = 27
    """An `Activity`."""
    ACTIVITY_SINCE_NS: Final = 28
    """CLOCK_MONOTONIC at which the activity began; what passed since is not yet in the three sums above."""
    LAST_PROGRESS_NS: Final = 29
    """CLOCK_MONOTONIC of the last commit."""
    LONGEST_BLOCKED_NS: Final = 30
    """Longest single wait for output room."""

    # Kept by the supervisor.
    RESTARTS: Final = 40
    PID: Final = 41
    ATTEMPT: Final = 42

    # Histograms, `latency.BUCKETS` words each.
    BATCH_LATENCY: Final = 64
    """Nanoseconds from taking a batch to its commit."""
    END_TO_END: Final = 64 + 512
    """Nanoseconds from a row's ingestion to its commit in a stage without outputs (oldest row of each frame)."""

    UNSENT: Final = 64 + 2 * 512
    """Two words for each stage that this one sends to, in the order of their names: rows of its input that were set
    aside here, for want of a key or a text, and rows that were skipped. They are that stage's, not this one's."""


    EVENT_TIME: Final = UNSENT + 2 * 224
    """Three words for the stage, where its rows have event times, then three for each edge that ends there, in the
    order of the plan (of a source: for its splits): the watermark (`watermark_word`), how many inputs there are, and
    how many of them are idle. Of the stage there is one input, the slot."""


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
VERSION = 2
MOST_RECEIVERS = 224
"""Of further ones, only the report of a run tells."""
MOST_TIMED_EDGES = 168
"""Of further ones, only the watermark of the stage tells."""
PAGE_WORDS = Word.EVENT_TIME + 3 * (1 + MOST_TIMED_EDGES)
PAGE_BYTES = 16384


def watermark_word(watermark: int) -> int:
    """A watermark as it stands in a page: 0 is none."""
    return watermark - NO_WATERMARK


def watermark_of_word(word: int) -> int:
    """What `watermark_word` was given."""
    return word + NO_WATERMARK
