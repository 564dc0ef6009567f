"""Promises of the progress line."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_dirs import HandClock

from penstock.metrics.progress import Progress, progress_line
from penstock.status import EdgeStatus, StageStatus, Status


def status(rows: int = 500, per_s: float = 50.0, bottleneck: str | None = None, dead: int = 0) -> Status:
    ingest = StageStatus("ingest", 1, rows, rows, per_s, per_s, 0.5, 0, 0.5, 0.0, 0.0, 0, 0, 0, 0, None)
    load = replace(ingest, name="load", rows_in=rows // 2, dead_letters=dead)
    edges = {"ingest->load": EdgeStatus("ingest->load", 0, 0, 1000, 0.0, 0)}
    return Status("clicks", "running", 12.0, 0.0, 0.0, bottleneck, {"ingest": ingest, "load": load}, edges)


def test_the_line_tells_rows_rate_dead_letters_and_bottleneck() -> None:
    line = progress_line(status(1234567, 45300.0, "load", 3), {}, 80)
    assert line == "clicks  1,234,567 rows  45,300/s  12 s  3 dead letters  bottleneck: load"


def test_known_totals_give_a_bar_with_percent() -> None:
    line = progress_line(status(500), {"ingest": 1000}, 80)
    assert "[#####-----] 50 %" in line


def test_rows_that_wait_behind_their_source_are_not_done() -> None:
    read = status(1000, 0.0)
    work = replace(read.stages["load"], rows_in=250, rows_in_per_s=200.0)
    waiting = replace(read.edges["ingest->load"], queued_rows=1000)  # the rest of a batch half done counts as waiting
    line = progress_line(
        replace(read, stages={**read.stages, "load": work}, edges={"ingest->load": waiting}), {"ingest": 1000}, 80
    )
    assert line == "clicks  [##--------] 25 %  250 of 1,000 rows  200/s  12 s"


def test_more_rows_than_announced_are_not_more_than_all() -> None:
    assert "100 %" in progress_line(status(1500), {"ingest": 1000}, 80)


def test_a_phase_other_than_running_is_told() -> None:
    assert "draining" in progress_line(replace(status(), phase="draining"), {}, 80)


@given(st.integers(0, 10**15), st.floats(0, 1e12), st.integers(20, 200))
def test_a_line_never_exceeds_its_width(rows: int, per_s: float, width: int) -> None:
    line = progress_line(status(rows, per_s, "a-stage-of-a-very-long-name" * 3, rows), {"ingest": 10**6}, width)
    assert len(line) <= width
    assert "\n" not in line


def test_a_terminal_gets_the_line_redrawn_in_place_and_cleared_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    progress = Progress(stream, is_terminal=True, clock=HandClock())
    progress.update(status(1))
    progress.update(status(2))
    progress.close()
    first, second, last = stream.getvalue().split("\r\x1b[K")[1:]
    assert "1 rows" in first
    assert "2 rows" in second
    assert last == ""
    assert "\n" not in stream.getvalue()


def test_a_file_gets_a_plain_line_every_ten_seconds_only() -> None:
    stream, clock = io.StringIO(), HandClock()
    progress = Progress(stream, is_terminal=False, clock=clock)
    for _ in range(100):
        clock.sleep(0.25)
        progress.update(status())
    progress.close()
    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()


def test_a_stream_that_went_away_does_not_end_the_run() -> None:
    stream = io.StringIO()
    progress = Progress(stream, is_terminal=True, clock=HandClock())
    stream.close()
    progress.update(status())
    progress.close()
