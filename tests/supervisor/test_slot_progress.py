"""What a life got done is told by its journal: a worker may die between its commit and the counters on its page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths, SlotPaths
from penstock.shared_file import by_calls
from penstock.slot.records.journal import Journal, create_journal
from penstock.slot.records.record import Record
from penstock.slot.records.work_page import WorkPage
from penstock.supervisor.restart import Progress
from penstock.supervisor.slot_pages import SlotPages


@pytest.fixture
def files(tmp_path: Path) -> SlotPaths:
    paths = RunPaths(tmp_path).slot("stage", 0)
    paths.folder.mkdir(parents=True)
    WorkPage.create(paths.work)
    Page.create(paths.folder / "stage.page")
    create_journal(paths.journal, Record(7))  # of an earlier run, which this one resumes
    return paths


@pytest.fixture
def pages(files: SlotPaths) -> Iterator[SlotPages]:
    found = SlotPages(files, ("stage",), by_calls)
    yield found
    # The supervisor never closes them: they are its own for as long as it lives.
    for file in (found._work, *found._pages):
        file.close()


def _commit(files: SlotPaths) -> None:
    with closing(Journal(files.journal, by_calls)) as journal:
        journal.commit(Record(8))


def _live(pages: SlotPages, attempt: int = 1) -> None:
    pages.clear()
    pages.born(os.getpid(), attempt)


def test_a_commit_counts_whose_worker_died_before_its_counters_did(pages: SlotPages, files: SlotPaths) -> None:
    _live(pages)
    assert not pages.proven
    _commit(files)
    assert pages.progress() is Progress.COMMITTED
    assert pages.proven


def test_a_commit_that_the_successor_only_shows_is_not_its_progress(pages: SlotPages, files: SlotPaths) -> None:
    _live(pages)
    _commit(files)
    _live(pages, 2)
    with closing(Page(files.folder / "stage.page", by_calls, writable=True)) as page:
        page.words[Word.COMMITS] += 1
    assert pages.progress() is Progress.NONE


def test_a_commit_of_an_earlier_run_proves_nothing(pages: SlotPages) -> None:
    pages.clear()
    assert not pages.proven


def test_a_commit_before_its_birth_was_told_is_that_lifes_own(pages: SlotPages, files: SlotPaths) -> None:
    pages.clear()
    _commit(files)  # it works already, and the message of its birth is on the way
    pages.born(os.getpid(), 1)
    assert pages.progress() is Progress.COMMITTED
