"""The page of rows in progress: what it says of a row stays true, and saying it costs little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from penstock.mapped_file import by_mapping
from penstock.slot.records import work_page
from penstock.slot.records.work_page import Doing, Mark, WorkPage
from penstock.slot.time_and_chance import Clock

pytestmark = pytest.mark.interpreted
ROW, TWO_ROWS = Mark(0, 0, 7, 3, 1), Mark(0, 0, 7, 3, 2)
MS = 1_000_000


class World:
    """A machine whose clock and peak of memory the test moves."""

    def __init__(self) -> None:
        self.now_ns = 5 * MS
        self.peak_kib = 100
        self.asked = 0

    def getrusage(self, who: int) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(ru_maxrss=self.peak_kib)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(work_page.resource, "getrusage", world.getrusage)
    return world


@pytest.fixture
def page(tmp_path: Path, world: World) -> Iterator[WorkPage]:
    WorkPage.create(tmp_path / "work")
    page = WorkPage(tmp_path / "work", by_mapping, Clock(now_ns=lambda: world.now_ns))
    yield page
    page.close()


def test_a_row_that_is_alone_in_progress_stands_beside_the_peak_of_memory_before_it(
    page: WorkPage, world: World
) -> None:
    page.enter(ROW)
    assert page.read().peak_kib == 100
    world.peak_kib, world.now_ns = 9000, world.now_ns + MS
    page.enter(ROW)
    assert page.read().peak_kib == 9000
    page.enter(TWO_ROWS)
    assert page.read().peak_kib == 0


def test_rows_of_one_millisecond_ask_for_the_peak_of_memory_once(page: WorkPage, world: World) -> None:
    for _ in range(20):
        page.enter(ROW)
        page.leave()
        page.enter(ROW, Doing.ENCODING)
        assert page.read().peak_kib == 100
        page.leave()
        world.now_ns += MS // 20
    assert world.asked == 1
    page.enter(ROW)
    assert world.asked == 2
