"""What a sink needs before a run begins is waited for, not for ever, and a signal ends the wait."""

from __future__ import annotations

import logging
import signal

import pytest

import penstock as ps
from penstock.engine.targets_down import once_it_is_there


class Target:
    """Down for so many times."""

    def __init__(self, times: float) -> None:
        self.times, self.asked = times, 0

    def ask(self) -> None:
        self.asked += 1
        if self.asked <= self.times:
            raise ps.Unavailable("the file is held", retry_after="50ms")


def test_a_target_that_is_down_is_asked_until_it_is_there_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    target = Target(3)
    with caplog.at_level(logging.WARNING, "penstock.engine"):
        once_it_is_there(target.ask, "store", unavailable_for_s=600)
    assert target.asked == 4
    [told] = [record.getMessage() for record in caplog.records]
    assert "stage store waits before the run begins: the file is held" in told


def test_the_wait_has_an_end() -> None:
    with pytest.raises(ps.PenstockError, match=r"stage 'store': unavailable for .*the last time: the file is held"):
        once_it_is_there(Target(float("inf")).ask, "store", unavailable_for_s=0.2)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)]
)
def test_a_signal_ends_the_wait_and_nothing_is_started(number: int, error: type[BaseException]) -> None:
    heard: list[int] = []

    def ask() -> None:
        heard.append(number)
        raise ps.Unavailable(retry_after="10m")

    with pytest.raises(error):
        once_it_is_there(ask, "store", unavailable_for_s=3600, signals=heard)
