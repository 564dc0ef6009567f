"""What follows a death: every death has one fate, and the run's way down is never climbed back up."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.slot.records.life import Blamed, Exit, FailureNote, Suspect
from penstock.slot.records.work_page import Mark, WorkState
from penstock.supervisor.after_death import (
    Fail,
    Fate,
    Finish,
    Gone,
    Guidance,
    Respawn,
    Standing,
    WorkerEnd,
    after_death,
)
from penstock.supervisor.blame import Blame
from penstock.supervisor.restart import Progress, RestartPolicy

NOTE = FailureNote("x", "it ended")
ROW = Mark(0, 0, 7, 3, 1)
SUSPECT = Suspect(0, 0, 7, 0, 8, 1)
KILLED, SEGFAULT, EXIT_3 = int(signal.SIGKILL), int(signal.SIGSEGV), 3 << 8


def seen(mark: Mark | None = None) -> WorkState:
    return WorkState(mark, 0, 0)


def end(status: int = KILLED, orderly: Exit | None = None, mark: Mark | None = None, **more: Any) -> WorkerEnd:
    given_: dict[str, Any] = {
        "note": NOTE, "progress": Progress.NONE, "attempt": 1, "lived_s": 1.0, "in_call_s": 0.1, **more
    }
    return WorkerEnd(status, orderly, seen=seen(mark), **given_)


def standing(most: float = 10, **more: Any) -> Standing:
    given_: dict[str, Any] = {"guidance": Guidance(), **more}
    return Standing(
        0, blame=Blame(bisects=False, chance=lambda: 0.5), policy=RestartPolicy(most, 60.0), unavailable_for_s=10.0,
        **given_,
    )


def fate(death: WorkerEnd, at: Standing | None = None, now: float = 100.0) -> Fate:
    return after_death(death, at or standing(), now=now, chance=0.5)


marks = st.none() | st.builds(
    Mark, st.just(0), st.just(0), st.integers(0, 3), st.integers(0, 9), st.integers(1, 4)
)
ends = st.builds(
    end, st.sampled_from([KILLED, SEGFAULT, EXIT_3, int(signal.SIGUSR1), 0]), st.none() | st.sampled_from(Exit), marks,
    progress=st.sampled_from(Progress), timed_out=st.booleans(), out_of_memory=st.booleans(),
    lived_s=st.floats(0, 100), in_call_s=st.floats(0, 10),
)


@given(st.lists(ends, min_size=1, max_size=40), st.booleans())
def test_every_death_has_a_fate_and_nobody_is_born_while_the_run_is_leaving(
    deaths: list[WorkerEnd], leaving: bool
) -> None:
    at = standing(leaving=leaving)
    for number, death in enumerate(deaths):
        found = fate(death, at, now=float(number))
        match found:
            case Finish():
                assert death.orderly is Exit.FINISHED
            case Gone():
                assert leaving
            case Respawn():
                assert not leaving and found.after_s >= 0
                assert death.orderly not in (Exit.FINISHED, Exit.FAILED)
                assert (found.wait is not None) == (death.orderly is Exit.UNAVAILABLE)
                at = replace(at, guidance=found.guidance)
            case Fail():
                assert death.orderly is not Exit.FINISHED
                return


@given(st.lists(ends, max_size=20))
def test_a_blamed_row_stays_blamed(deaths: list[WorkerEnd]) -> None:
    at, blamed = standing(most=1000), []
    for number, death in enumerate(deaths):
        found = fate(death, at, now=float(number))
        if not isinstance(found, Respawn):
            continue
        blamed += [found.blamed] if found.blamed is not None else []
        assert list(found.guidance.blamed) == blamed
        at = replace(at, guidance=found.guidance)


def test_a_slot_that_is_done_is_finished_even_while_the_run_is_leaving() -> None:
    assert fate(end(0, Exit.FINISHED), standing(leaving=True)) == Finish()


def test_a_stage_that_cannot_continue_fails_the_run_with_its_own_note() -> None:
    note = FailureNote("x", "no more", "trace", error=b"pickled")
    assert fate(end(10 << 8, Exit.FAILED, note=note)) == Fail(note)


def test_the_first_death_is_followed_at_once_and_later_ones_later() -> None:
    at, delays = standing(), []
    for number in range(5):
        found = fate(end(), at, now=100.0 + number)
        assert isinstance(found, Respawn)
        delays.append(found.after_s)
    assert delays[0] == 0.0
    assert delays == sorted(delays)
    assert delays[-1] > 0


def test_too_many_deaths_without_progress_fail_the_stage_and_say_how_the_last_one_was() -> None:
    at = standing(most=2)
    found = [fate(end(), at, now=100.0 + number) for number in range(3)]
    assert [type(one) for one in found] == [Respawn, Respawn, Fail]
    last = found[-1]
    assert isinstance(last, Fail) and last.counted
    assert "3 times within 60 s" in last.note.reason and last.note.reason.endswith("the last time: it ended")


def test_a_single_row_that_segfaults_is_blamed_at_once_and_the_death_is_not_the_stages() -> None:
    at = standing(most=0)
    found = fate(end(SEGFAULT, mark=ROW), at)
    assert isinstance(found, Respawn)
    assert found.blamed is not None and found.blamed.key == (0, 0, 7, 3)
    assert found.guidance.blamed == (found.blamed,)


def test_a_row_that_is_in_work_when_its_worker_is_killed_is_not_blamed_for_one_kill() -> None:
    found = fate(end(KILLED, mark=ROW))
    assert isinstance(found, Respawn) and found.blamed is None


def test_a_row_that_ate_the_memory_is_blamed_for_the_kill() -> None:
    found = fate(end(KILLED, mark=ROW, out_of_memory=True))
    assert isinstance(found, Respawn) and found.blamed is not None


def test_a_careful_restart_gets_care_for_its_rows_keeps_its_suspects_and_is_not_counted() -> None:
    before = Guidance(SUSPECT, (Blamed(0, 0, 1, 1, 1, "before"),))
    found = fate(end(12 << 8, Exit.CAREFUL, Mark(0, 0, 0, 0, 9)), standing(most=0, guidance=before))
    assert found == Respawn(0.0, replace(before, careful=9))


@pytest.mark.parametrize("orderly", [Exit.TROUBLE, Exit.STOPPED, Exit.ORPHANED])
def test_an_orderly_exit_leaves_the_suspicions_as_they_were(orderly: Exit) -> None:
    before = Guidance(SUSPECT)
    found = fate(end(int(orderly) << 8, orderly, ROW), standing(guidance=before))
    assert isinstance(found, Respawn) and found.guidance == before


def test_the_same_trouble_twice_before_anything_was_done_is_enough() -> None:
    at, trouble = standing(), end(11 << 8, Exit.TROUBLE, note=FailureNote("x", "no table", same="no table"))
    assert isinstance(fate(trouble, at), Respawn)
    assert isinstance(fate(trouble, at), Fail)
    at = standing(proven=True)
    assert [type(fate(trouble, at)) for _ in range(3)] == [Respawn] * 3


def test_what_dies_in_open_twice_by_its_own_doing_is_enough_and_what_is_killed_there_is_not() -> None:
    at = standing()
    assert [type(fate(end(EXIT_3), at)) for _ in range(2)] == [Respawn, Fail]
    at = standing()
    assert [type(fate(end(KILLED), at)) for _ in range(4)] == [Respawn] * 4


def test_what_is_down_is_waited_for_and_not_for_ever() -> None:
    at, down = standing(most=0), end(15 << 8, Exit.UNAVAILABLE, note=FailureNote("x", "refused", retry_after_s=4.0))
    found = [fate(down, at) for _ in range(4)]
    assert [one.after_s for one in found[:2] if isinstance(one, Respawn)] == [4.0, 4.0]
    last = found[-1]
    assert isinstance(last, Fail) and not last.counted
    assert "longer than `unavailable_for` allows; the last time: refused" in last.note.reason
