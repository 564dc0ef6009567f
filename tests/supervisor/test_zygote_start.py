"""A zygote is forked from a supervisor that holds what others watch: it must have nothing of that."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.supervisor.zygote_start import StartedZygote, open_descriptors

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
"""That of the tests may be; a supervisor is not."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; the test closes the second."""
    ends = os.pipe()
    yield ends
    os.close(ends[0])


@pytest.fixture
def zygote(pipe: tuple[int, int], tmp_path: Path) -> Iterator[StartedZygote]:
    """Forked while this process has both ends of the pipe."""
    started = StartedZygote(str(tmp_path), open_descriptors(but=pipe))
    yield started
    started.give_up()
    started.socket.close()
    os.close(started.stderr)


def test_who_waits_for_the_supervisors_end_does_not_wait_for_its_zygote(
    pipe: tuple[int, int], zygote: StartedZygote
) -> None:
    os.close(pipe[1])
    assert select.select([pipe[0]], [], [], 60)[0]
    assert os.read(pipe[0], 1) == b""


def test_a_zygote_leaves_when_it_was_told_nothing_and_the_supervisor_is_gone(
    pipe: tuple[int, int], zygote: StartedZygote
) -> None:
    os.close(pipe[1])
    zygote.socket.close()
    assert zygote.wait() == 0


def test_how_a_zygote_ended_is_known_as_often_as_it_is_asked(pipe: tuple[int, int], zygote: StartedZygote) -> None:
    os.close(pipe[1])
    zygote.kill()
    assert [zygote.wait(), zygote.wait()] == [-signal.SIGKILL] * 2
    zygote.reap()
    zygote.kill()  # nothing: its number may be another's by now


def test_a_number_that_was_anothers_when_the_supervisor_began_is_not_kept(tmp_path: Path) -> None:
    """A tool closes its file, and the lifeline gets the number: a zygote that kept it would hide the end."""
    freed = os.open(os.devnull, os.O_RDONLY)
    keeps = open_descriptors()
    reader, writer = os.pipe()
    os.dup2(writer, freed)
    os.close(writer)
    started = StartedZygote(str(tmp_path), keeps)
    try:
        os.close(freed)
        assert select.select([reader], [], [], 60)[0]
        assert os.read(reader, 1) == b""
    finally:
        started.give_up()
        started.socket.close()
        os.close(started.stderr)
        os.close(reader)
