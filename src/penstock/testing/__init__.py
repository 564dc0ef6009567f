"""Test pipelines: `run` with scripted inputs and collected outputs. The public names; nothing is defined here."""

from __future__ import annotations

from penstock.testing.clock import ManualClock
from penstock.testing.crash import Crash, crash
from penstock.testing.key_state import key_state
from penstock.testing.list_sink import ListSink
from penstock.testing.outcome import Outcome
from penstock.testing.run import run
from penstock.testing.scripted_source import Abort, Pause, ScriptedSource, Watermark

__all__ = [
    "Abort", "Crash", "ListSink", "ManualClock", "Outcome", "Pause", "ScriptedSource", "Watermark", "crash",
    "key_state", "run",
]  # fmt: skip
