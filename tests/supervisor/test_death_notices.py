"""Nothing dies silently, and nothing floods."""

from __future__ import annotations

from penstock.slot.records.life import Exit, FailureNote
from penstock.supervisor.death_notices import DeathNotices
from penstock.supervisor.restart import Wait

NOTE = FailureNote("x", "worker x/0 died (signal SIGKILL)")


def test_deaths_are_told_once_a_second_with_how_many_there_were() -> None:
    notices = DeathNotices("x/0", 60.0)
    told = [notices.died(NOTE, None, attempt, 100.0 + attempt / 8) for attempt in range(1, 26)]
    words = [text for text in told if text is not None]
    assert words[0] == "worker x/0 died (signal SIGKILL); restart 1"
    assert words[1:] == [
        "worker x/0 died (signal SIGKILL), 8 deaths since the last notice; restart 9",
        "worker x/0 died (signal SIGKILL), 8 deaths since the last notice; restart 17",
        "worker x/0 died (signal SIGKILL), 8 deaths since the last notice; restart 25",
    ]


def test_trouble_is_told_with_its_worker() -> None:
    text = DeathNotices("x/0", 60.0).died(FailureNote("x", "open: no table"), Exit.TROUBLE, 1, 5.0)
    assert text == "worker x/0: open: no table; restart 1"


def test_waiting_is_told_at_once_and_then_now_and_then() -> None:
    notices, note = DeathNotices("x/0", 60.0), FailureNote("x", "refused")
    assert notices.waits(note, Wait(0.5, 1, 0.5), 100.0) == (
        "worker x/0 waits: refused; trying again in 0.5 s "
        "(the option `unavailable_for` of this stage allows 60 s)"
    )
    assert notices.waits(note, Wait(1.0, 2, 1.5), 101.0) is None
    later = notices.waits(note, Wait(2.0, 5, 14.0), 112.0)
    assert later is not None and ", after 12 s: refused" in later
