"""The fate of a failed row, case by case, and the bounds of the time between attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import RowTimeout
from penstock.operator import Drop, Reject, Retry
from penstock.options import ErrorPolicy
from penstock.plan.plan import StageSettings
from penstock.slot.turn.error_policy import Decision, FailStage, RetryRow, SetAside, SkipRow, decide, last_resort

LETTER, SKIP, FAIL = ErrorPolicy("dead_letter", 100), ErrorPolicy("skip"), ErrorPolicy("fail")
OSERRORS = (OSError,)


def stage(policy: ErrorPolicy, retries: int = 0, retry_on: tuple[type[Exception], ...] = (Exception,)) -> StageSettings:
    return StageSettings(on_error=policy, retries=retries, retry_delay_s=1.0, retry_on=retry_on)


@pytest.mark.parametrize(
    ("settings", "error", "attempts", "expected"),
    [
        # without retries the policy decides
        (stage(LETTER), ValueError(), 1, SetAside()),
        (stage(SKIP), ValueError(), 1, SkipRow()),
        (stage(FAIL), ValueError(), 1, FailStage()),
        # retries are calls beyond the first
        (stage(LETTER, 2), ValueError(), 1, RetryRow(1.0)),
        (stage(LETTER, 2), ValueError(), 2, RetryRow(2.0)),
        (stage(LETTER, 2), ValueError(), 3, SetAside()),
        (stage(FAIL, 1), ValueError(), 1, RetryRow(1.0)),
        (stage(FAIL, 1), ValueError(), 2, FailStage()),
        # only for errors that are worth it
        (stage(LETTER, 2, OSERRORS), ConnectionError(), 1, RetryRow(1.0)),
        (stage(LETTER, 2, OSERRORS), ValueError(), 1, SetAside()),
        (stage(LETTER, 2), RowTimeout(1.0), 1, RetryRow(1.0)),
        (stage(LETTER, 2), SystemExit(), 1, SetAside()),
        # a verdict of the user's goes before everything
        (stage(FAIL, 2), Drop(), 1, SkipRow()),
        (stage(FAIL, 1), Retry(after="3s"), 1, RetryRow(3.0)),
        (stage(LETTER, 2, OSERRORS), Retry(after="3s"), 2, RetryRow(3.0)),
        # but it has an end, as every retry has
        (stage(FAIL), Retry(after="3s"), 1, FailStage()),
        (stage(LETTER, 2, OSERRORS), Retry(after="3s"), 3, SetAside()),
        (stage(LETTER, 2), Reject("bad"), 1, SetAside()),
        (stage(FAIL, 2), Reject("bad"), 1, FailStage()),
        (stage(SKIP, 2), Reject("bad"), 1, SkipRow()),
    ],
)
def test_a_failed_row_meets_this_fate(
    settings: StageSettings, error: BaseException, attempts: int, expected: Decision
) -> None:
    assert decide(settings, error, attempts, chance=0.5) == expected


@given(
    st.floats(0, 100), st.floats(0, 1000), st.integers(1, 10**6), st.floats(0, 1, exclude_max=True)
)
def test_attempts_wait_twice_as_long_each_time_up_to_the_limit(
    delay_s: float, most_s: float, attempts: int, chance: float
) -> None:
    settings = StageSettings(retries=10**6, retry_delay_s=delay_s, retry_delay_max_s=most_s)
    decision = decide(settings, ValueError(), attempts, chance)
    assert isinstance(decision, RetryRow)
    plain = min(delay_s * 2.0 ** min(attempts - 1, 60), most_s)
    assert 0.8 * plain <= decision.after_s * (1 + 1e-9)
    assert decision.after_s <= 1.2 * plain * (1 + 1e-9)


@pytest.mark.parametrize(("policy", "expected"), [(LETTER, SetAside()), (SKIP, SkipRow()), (FAIL, FailStage())])
def test_the_last_resort_never_tries_again(policy: ErrorPolicy, expected: Decision) -> None:
    assert last_resort(stage(policy, 99)) == expected
