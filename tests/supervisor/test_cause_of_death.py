"""Wait statuses in words and as causes."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.supervisor.blame import Cause
from penstock.supervisor.cause_of_death import UNKNOWN_STATUS, cause_of, describe, exit_code


def exited(code: int) -> int:
    return code << 8


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (exited(3), "exit code 3"),
        (int(signal.SIGSEGV), "signal SIGSEGV"),
        (int(signal.SIGSEGV) | 0x80, "signal SIGSEGV"),  # with a core dump
        (int(signal.SIGKILL), "signal SIGKILL"),
        (signal.SIGRTMIN + 3, f"signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_a_status_is_told_by_name(status: int, words: str) -> None:
    assert describe(status) == words


@given(st.integers(0, 255))
def test_an_exit_is_user_codes_own_doing_whatever_its_code(code: int) -> None:
    """What leaves in order says so on its page of work, and never gets here."""
    assert cause_of(exited(code), timed_out=False, out_of_memory=False) is Cause.OWN_DOING


@pytest.mark.parametrize(
    ("status", "timed_out", "out_of_memory", "cause"),
    [
        (exited(3), False, False, Cause.OWN_DOING),
        (int(signal.SIGSEGV), False, False, Cause.OWN_DOING),
        (int(signal.SIGABRT), False, True, Cause.OWN_DOING),
        (int(signal.SIGUSR1), False, False, Cause.KILLED),
        (int(signal.SIGTERM), False, True, Cause.KILLED),
        (int(signal.SIGRTMIN), False, False, Cause.KILLED),
        (int(signal.SIGKILL), False, False, Cause.KILLED),
        (int(signal.SIGKILL), False, True, Cause.OWN_DOING),
        (int(signal.SIGKILL), True, False, Cause.TIMED_OUT),
        (int(signal.SIGKILL), True, True, Cause.TIMED_OUT),
        (UNKNOWN_STATUS, False, False, Cause.KILLED),
    ],
)
def test_a_death_has_the_cause_that_can_be_proved(
    status: int, timed_out: bool, out_of_memory: bool, cause: Cause
) -> None:
    assert cause_of(status, timed_out=timed_out, out_of_memory=out_of_memory) is cause


def test_an_abort_that_was_sent_is_anybodys() -> None:
    sent = int(signal.SIGABRT)
    assert cause_of(sent, timed_out=False, out_of_memory=False, sent=sent) is Cause.KILLED


def test_statuses_of_real_processes_are_read_right() -> None:
    for expected in (7, None):
        pid = os.fork()
        if pid == 0:
            if expected is not None:
                os._exit(expected)
            os.kill(os.getpid(), signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert exit_code(status) == expected
