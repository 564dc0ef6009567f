"""A signal that comes while a run is made is obeyed, however short the run is."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest

import penstock as ps
from penstock.engine import engine
from penstock.testing import ListSink, Pause, ScriptedSource


class _Signalled(ScriptedSource[int]):
    def __init__(self, number: int) -> None:
        super().__init__([0, Pause("1s"), 1])
        self._number = number

    def splits(self) -> Mapping[str, Any]:
        os.kill(os.getpid(), self._number)
        return super().splits()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_short_run_is_drained(
    where: Any, monkeypatch: pytest.MonkeyPatch, number: int, error: type[BaseException]
) -> None:
    monkeypatch.setattr(engine, "_PROGRESS_S", 60.0)  # the run is over before the second look
    app, out = ps.Pipeline("short"), ListSink[int]()
    app.source(_Signalled(number)).sink(out)
    with pytest.raises(error) as told:
        app.run(**where, progress=False)
    assert told.value.report.outcome == "drained"  # type: ignore[attr-defined]
    assert out.rows == list(range(len(out.rows)))
