"""A dead worker's neighbours are rung: it may have died between publishing and ringing."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from penstock.channel.bell import Bell, Ringers, create_bell
from penstock.mapped_file import by_mapping
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.slot.work import Mark, WorkPage
from penstock.supervisor.child import Child, ChildState
from penstock.supervisor.protocol import SeatSpec


def rung(bells: list[Bell]) -> list[Bell]:
    """Those that somebody has rung."""
    poll = select.poll()
    for bell in bells:
        poll.register(bell.fd, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(0)}
    return [bell for bell in bells if bell.fd in ready]


def close(child: Child, *others: Bell | WorkPage) -> None:
    """The supervisor never does: a child is its own for as long as it lives."""
    for file in (child.work, child.bell, *child.pages, *child.neighbours, *others):
        file.close()
    os.close(child.log_fd)
    os.close(child.stdout_fd)


def test_the_death_of_a_worker_rings_all_that_it_reads_from_and_writes_to(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path).seat("middle", 0)
    paths.folder.mkdir(parents=True)
    WorkPage.create(paths.work)
    Page.create(paths.folder / "middle.page")
    for fifo in (paths.log, paths.stdout):
        os.mkfifo(fifo)
    create_bell(paths.bell)
    names = ("first", "second", "third")
    for name in names:
        create_bell(tmp_path / name)
    spec = SeatSpec("middle", 0, ("middle",), None, (10, 60), False, ("first",), ("second", "third"))
    child = Child(spec, tmp_path, Ringers())
    bells = [Bell(tmp_path / name, by_mapping) for name in names]
    assert rung(bells) == []
    child.died()
    assert rung(bells) == bells
    close(child, *bells)


def test_what_a_dead_worker_left_in_work_is_not_the_successors(tmp_path: Path) -> None:
    """Else the watchdog kills a newborn for what hung the one before it."""
    paths = RunPaths(tmp_path).seat("middle", 0)
    paths.folder.mkdir(parents=True)
    WorkPage.create(paths.work)
    Page.create(paths.folder / "middle.page")
    for fifo in (paths.log, paths.stdout):
        os.mkfifo(fifo)
    create_bell(paths.bell)
    child = Child(SeatSpec("middle", 0, ("middle",), 1.0, (10, 60), False, (), ()), tmp_path, Ringers())
    child.life("run", "letters")
    worker = WorkPage(paths.work, by_mapping)
    worker.clear(child.attempt)
    worker.enter(Mark(0, 0, 1, 2, 1))
    child.state = ChildState.ALIVE
    late = time.monotonic_ns() + 10 * 10**9
    assert child.overdue(late, 1.0)
    child.life("run", "letters")
    assert child.state is ChildState.ALIVE and not child.overdue(late, 1.0)
    close(child, worker)
