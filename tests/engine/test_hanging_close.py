"""A `close` that never comes back: told within seconds with where it stands, and bounded; what was done is done."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.testing import ListSink

HERE = Path(__file__).name


class Hangs:
    def __call__(self, x: int) -> int:
        return x

    def close(self) -> None:
        threading.Event().wait()


class HangsInCoroutine(Hangs):
    async def close(self) -> None:  # type: ignore[override]
        await asyncio.Event().wait()


@pytest.mark.parametrize("made", [Hangs, HangsInCoroutine])
def test_a_close_that_never_returns_is_reported_and_ended(
    made: type[Hangs], where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app, out = ps.Pipeline("stuck"), ListSink[int]()
    app.source(range(50), name="numbers").stage("work").map(made()).sink(out, name="out")
    began = time.monotonic()
    with app.start(**where) as handle:
        while "has not returned" not in caplog.text:
            assert not handle.wait_a_while(0.1)
        assert time.monotonic() - began < 30
        report = handle.wait(timeout="100s")
    assert report.outcome == "finished"
    assert sorted(out.rows) == list(range(50))
    assert report.stages["work"].restarts == 1
    told = [record.getMessage() for record in caplog.records]
    assert any("worker work/0 has finished all its rows, but `close` has not returned for 5 s" in text for text in told)
    assert any("worker work/0 is killed: `close` has not returned" in text for text in told)
    assert HERE in caplog.text or made is HangsInCoroutine
