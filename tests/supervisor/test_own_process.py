"""Processes of penstock's own are not hurt by signals that are meant for the caller, from their first instant."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from penstock.supervisor import own_process

SETTLES = """\
import os
from penstock.slot.process import signals


def main(told: int) -> None:
    signals.settle()
    os.write(told, b"settled")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_whole_group_does_not_end_an_interpreter_that_is_only_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    (tmp_path / "settles.py").write_text(SETTLES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told, theirs = os.pipe()
    try:
        process = own_process.start("settles", {"told": theirs}, "run", fds=[theirs])
        os.close(theirs)
        process.send_signal(number)
        assert select.select([told], [], [], 60)[0]
        assert os.read(told, 100) == b"settled"  # nothing: it has died
        assert process.wait(60) == 0
    finally:
        os.close(told)
