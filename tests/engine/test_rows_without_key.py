"""Rows whose key function raises never reach their stage, and are counted there all the same: it is its loss."""

from __future__ import annotations

import time
from typing import Any

from engine_lines import Line

import penstock as ps


def _key(n: int) -> int:
    if n % 5 == 1:
        raise ValueError("no key")
    if n % 5 == 2:
        raise ps.Drop
    return n


class _Held:
    """Waits at its first row until it is told to continue."""

    def __init__(self, heard: Line, told: Line) -> None:
        self.heard, self.told, self.first = heard, told, True

    def __call__(self, n: int) -> int:
        if self.first:
            self.heard.say(n)
            self.told.hear()
        self.first = False
        return n


def test_status_and_report_count_them_where_they_were_to_go(where: Any, heard: Line, told: Line) -> None:
    app = ps.Pipeline("keyless")
    numbers = app.source(range(20), name="numbers")
    numbers.sink(ps.discard(), name="all")
    numbers.stage("keyed").key_by(_key).map(_Held(heard, told)).sink(ps.discard(), name="out")
    handle = app.start(**where)
    heard.hear()
    deadline = time.monotonic() + 60
    while (status := handle.status()).stages["keyed"].dead_letters < 4 or status.stages["keyed"].last_error is None:
        assert time.monotonic() < deadline
    assert {name: (stage.dead_letters, stage.skipped) for name, stage in status.stages.items()} == {
        "numbers": (0, 0), "all": (0, 0), "keyed": (4, 4), "out": (0, 0),
    }
    assert "key_by" in (status.stages["keyed"].last_error or "")
    assert status.stages["numbers"].last_error is None
    told.say()
    report = handle.wait(timeout="60s")
    assert {name: (stage.dead_letters, stage.skipped) for name, stage in report.stages.items()} == {
        "numbers": (0, 0), "all": (0, 0), "keyed": (4, 4), "out": (0, 0),
    }
    assert report.stages["keyed"].rows_in == report.stages["out"].rows_out == 12
