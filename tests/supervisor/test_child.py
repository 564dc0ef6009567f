"""A slot as its supervisor sees it: its states, its neighbours' bells, what is left of the life before."""

from __future__ import annotations

import os
import select
import selectors
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.channel.bell import FifoBell, OnePerPath, Ringer, create_bell
from penstock.mapped_file import by_mapping
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.slot.records.life import Blamed, Suspect
from penstock.slot.records.work_page import Mark, WorkPage
from penstock.supervisor.after_death import Guidance
from penstock.supervisor.child import Child, ChildState
from penstock.supervisor.ports import Machine
from penstock.supervisor.protocol import RunSpec, SlotSpec

RUN = RunSpec("p", "run", "letters", (), (), (), b"", (), False)
ZYGOTE: Any = SimpleNamespace(closed=False)
NAMES = ("first", "second", "third")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    paths = RunPaths(tmp_path).slot("middle", 0)
    paths.folder.mkdir(parents=True)
    WorkPage.create(paths.work)
    Page.create(paths.folder / "middle.page")
    for fifo in (paths.log, paths.stdout):
        os.mkfifo(fifo)
    create_bell(paths.bell)
    for name in NAMES:
        create_bell(tmp_path / name)
    spec = SlotSpec("middle", 0, ("middle",), 1.0, (10, 60), False, ("first",), ("second", "third"))
    found = Child(spec, tmp_path, OnePerPath(Ringer), Machine(selectors.SelectSelector()))
    yield found
    # The supervisor never closes a child: it is its own for as long as it lives.
    for file in (found.pages._work, *found.pages._pages, found.bell, *found._neighbours):
        file.close()
    for pipe in found.pipes.both:
        os.close(pipe.fd)
    if found.process is not None:
        found.process.close()


def give_birth(child: Child) -> None:
    child.spawn(ZYGOTE, RUN)
    child.born(os.getpid(), os.pidfd_open(os.getpid()))


def rung(bells: list[FifoBell]) -> list[FifoBell]:
    """Those that somebody has rung."""
    poll = select.poll()
    for bell in bells:
        poll.register(bell.fd, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(0)}
    return [bell for bell in bells if bell.fd in ready]


def overdue(child: Child, now_ns: int) -> bool:
    assert child.watch is not None and child.process is not None
    return child.watch.overdue(
        now_ns, child.process.pid, child.pages, child.pipes, timeout_s=child.spec.timeout_s, grace_s=1.0
    )


def test_the_death_of_a_worker_rings_all_that_it_reads_from_and_writes_to(child: Child, tmp_path: Path) -> None:
    """It may have died between publishing and ringing."""
    give_birth(child)
    bells = [FifoBell(tmp_path / name, by_mapping) for name in NAMES]
    assert rung(bells) == []
    child.died()
    assert rung(bells) == bells
    for bell in bells:
        bell.close()


def test_what_a_dead_worker_left_in_work_is_not_the_successors(child: Child) -> None:
    """Else the watchdog kills a newborn for what hung the one before it."""
    give_birth(child)
    worker = WorkPage(child.paths.work, by_mapping)
    worker.enter(Mark(0, 0, 1, 2, 1))
    late = time.monotonic_ns() + 10 * 10**9
    assert overdue(child, late)
    child.died()
    child.wait_until(0.0)
    give_birth(child)
    assert not overdue(child, late)
    worker.close()


def test_what_is_to_be_done_carefully_is_told_to_one_life_and_who_is_suspect_to_all(child: Child) -> None:
    suspect, blamed = Suspect(0, 0, 1, 2, 3, 1), Blamed(0, 0, 1, 2, 1, "it killed its worker")
    child.guidance = Guidance(suspect, (blamed,), careful=5, ungathered=7)
    first = child.spawn(ZYGOTE, RUN)
    assert (first.suspect, first.blamed, first.careful, first.ungathered) == (suspect, (blamed,), 5, 7)
    child.wait_until(0.0)
    second = child.spawn(ZYGOTE, RUN)
    assert (second.suspect, second.blamed, second.careful, second.ungathered) == (suspect, (blamed,), 0, 0)
    assert (first.attempt, second.attempt) == (1, 2)


def test_a_birth_that_its_zygote_did_not_live_to_give_is_given_by_the_next_one(child: Child) -> None:
    child.spawn(ZYGOTE, RUN)
    child.wait_until(0.0)
    give_birth(child)
    assert child.state is ChildState.ALIVE
    child.died()
    child.finish()


@pytest.mark.parametrize(
    "step", [lambda child: child.finish(), lambda child: child.wait_until(0.0), lambda child: child.spawn(ZYGOTE, RUN)]
)
def test_nobody_is_born_where_nobody_is_to_follow(child: Child, step: Callable[[Child], object]) -> None:
    child.give_up()
    with pytest.raises(AssertionError, match="middle/0 is gone"):
        step(child)
    assert child.state is ChildState.GONE


def test_a_worker_that_is_gone_for_good_leaves_no_descriptor(child: Child) -> None:
    before = len(os.listdir("/proc/self/fd"))
    give_birth(child)
    child.give_up()
    assert len(os.listdir("/proc/self/fd")) == before
    assert child.process is None
