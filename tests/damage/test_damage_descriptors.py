"""What is damaged leaves no descriptor open in whoever looked: the caller and the supervisor look again and again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.channel.bell import FifoBell, create_bell
from penstock.channel.ring import RingReader, RingWriter
from penstock.errors import QueueDamaged
from penstock.mapped_file import by_mapping
from penstock.metrics.page import Page
from penstock.shared_file import Opening, by_calls
from penstock.slot.records.control import Control
from penstock.slot.records.journal import Journal
from penstock.slot.records.retries import RetryFile
from penstock.slot.records.work_page import WorkPage
from penstock.slot.user_code.event_loop import EventLoop

Opened = Callable[[Path], Any]
WritablePage = partial(Page, writable=True)
READERS: list[Opened] = [
    *[partial(kind, opening=opening) for kind in (RingReader, RingWriter, Journal, WorkPage, Control, WritablePage)
      for opening in (by_mapping, by_calls)],
    lambda path: RetryFile(path.with_suffix(""), [1, 8192]),
    lambda path: RetryFile(path.with_suffix(""), [1, 4095]),
]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [0, 4095, 4096, 8192])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_of_zeros_is_closed_whether_it_is_refused_or_not(reader: Opened, size: int, tmp_path: Path) -> None:
    path = tmp_path / "file.1"
    there = descriptors()
    for _ in range(3):
        path.write_bytes(bytes(size))
        with contextlib.suppress(QueueDamaged):
            reader(path).close()  # a page of zeros is one on which nothing stands yet
        assert descriptors() == there


@pytest.mark.parametrize("opening", [by_mapping, by_calls])
def test_a_bell_whose_word_is_gone_is_closed(opening: Opening, tmp_path: Path) -> None:
    create_bell(tmp_path / "bell")
    (tmp_path / "bell.asleep").unlink()
    there = descriptors()
    with pytest.raises(QueueDamaged):
        FifoBell(tmp_path / "bell", opening)
    assert descriptors() == there


def test_an_event_loop_that_was_never_asked_for_is_closed() -> None:
    """An async stage that no row came to, in the process of a test."""
    there = descriptors()
    EventLoop().close()
    assert descriptors() == there
