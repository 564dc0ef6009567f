"""What becomes of a life by what its worker raised: one table for workers and for the simulation."""

from __future__ import annotations

import errno
import pickle

import pytest

from penstock.errors import FileUnusable, QueueDamaged
from penstock.operator import Unavailable
from penstock.slot.process.life_end import LifeEnd, life_end
from penstock.slot.process.stops import CarefulRestart, StageFailed, Stopped, Trouble
from penstock.slot.records.life import Exit, FailureNote
from penstock.slot.records.work_page import Mark


def test_a_stop_that_was_asked_for_leaves_neither_note_nor_mark() -> None:
    assert life_end(Stopped(), "x") == LifeEnd(Exit.STOPPED)


def test_rows_that_a_successor_must_process_one_by_one_are_marked() -> None:
    assert life_end(CarefulRestart(2, 40), "x") == LifeEnd(Exit.CAREFUL, mark=Mark(2, 0, 0, 0, 40))


def test_a_failed_stage_tells_its_own_name_and_the_error_itself() -> None:
    end = life_end(StageFailed("parse", "row 7 failed", "Traceback ...", ValueError("7")), "x")
    assert end.note is not None
    assert (end.code, end.note.stage, end.note.reason) == (Exit.FAILED, "parse", "row 7 failed")
    assert (end.note.traceback, repr(pickle.loads(end.note.error))) == ("Traceback ...", "ValueError('7')")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (QueueDamaged("q", "checksum differs"), Exit.FAILED),
        (FileUnusable("q", "cannot be read", OSError(errno.EIO, "x")), Exit.TROUBLE),
    ],
)
def test_a_damaged_file_is_told_in_its_own_words(error: Exception, code: Exit) -> None:
    assert life_end(error, "x") == LifeEnd(code, FailureNote("x", str(error)))


@pytest.mark.parametrize("of_sink", [False, True])
def test_a_full_disk_is_down_for_now_only_where_a_sink_found_it(*, of_sink: bool) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert life_end(Trouble("end", "writing", full, of_sink=of_sink), "x").code is (
        Exit.UNAVAILABLE if of_sink else Exit.TROUBLE
    )


def test_what_is_unavailable_says_when_to_try_again() -> None:
    end = life_end(Trouble("read", "opening", Unavailable("busy", retry_after="4s")), "x")
    assert end.note is not None
    assert (end.code, end.note.stage, end.note.retry_after_s) == (Exit.UNAVAILABLE, "read", 4.0)
    assert end.note.reason.startswith("opening: ")


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_else_is_raised_is_trouble_with_a_name_for_the_next_life_to_compare(error: BaseException) -> None:
    end = life_end(error, "x")
    assert end.note is not None
    assert (end.code, end.note.stage) == (Exit.TROUBLE, "x")
    assert end.note.same == life_end(error, "x").note.same != ""  # type: ignore[union-attr]
