"""How far event time has come, by the pages of a stage's slots. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.metrics.catalogue import MOST_TIMED_EDGES, Word, watermark_of_word
from penstock.metrics.snapshot import PageReading
from penstock.status import EventTimeStatus


def of_stage(pages: Sequence[PageReading], wall_s: float) -> EventTimeStatus | None:
    """Of the stage itself, its slots being the inputs; None: its rows have no times."""
    return _of(pages, Word.EVENT_TIME, wall_s)


def of_edge(pages: Sequence[PageReading], place: int, wall_s: float) -> EventTimeStatus | None:
    """Of one of its edges. `pages`: of the receiver; `place`: among the edges that end there."""
    return _of(pages, Word.EVENT_TIME + 3 * (1 + place), wall_s) if place < MOST_TIMED_EDGES else None


def _of(pages: Sequence[PageReading], word: int, wall_s: float) -> EventTimeStatus | None:
    told = [page.words[word : word + 3] for page in pages]
    inputs, idle = sum(inputs for _, inputs, _ in told), sum(idle for _, _, idle in told)
    if not inputs:
        return None
    # A slot that waits for nothing holds up none of the others, unless all of them do.
    waiting = [word for word, inputs, idle in told if inputs and idle < inputs] or [word for word, _, _ in told]
    watermark = watermark_of_word(min(waiting))
    known = watermark not in (NO_WATERMARK, END_OF_TIME)
    return EventTimeStatus(
        watermark_s=watermark / 1e6 if known else None, lag_s=wall_s - watermark / 1e6 if known else None,
        ended=watermark == END_OF_TIME, inputs=inputs, idle_inputs=idle,
    )
