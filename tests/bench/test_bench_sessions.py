"""What the benchmarks' drivers make of runs: ratios within a round, sessions that resume, computed limits."""

from __future__ import annotations

from pathlib import Path

import limits
import pytest
from side_by_side import Session


def test_a_ratio_is_taken_within_each_round() -> None:
    session = Session("w1")
    for number, (mine, other) in enumerate([(200, 100), (20, 10), (500, 100)]):
        session.keep("mine", number, {"rows_s": mine})
        session.keep("other", number, {"rows_s": other})
    session.keep("mine", 3, {"rows_s": 1_000_000})
    assert session.ratio("mine", "other") == 2.0
    assert session.ratio("mine", "nobody") is None


def test_a_session_resumes_with_the_runs_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    before = Session("w2", file)
    before.keep("one", 0, {"rows_s": 10})
    Session("w1", file).keep("one", 0, {"rows_s": 99})
    after = Session("w2", file)
    assert after.has("one", 0)
    assert not after.has("one", 2)
    assert after.median("one", "rows_s") == 10


def test_a_run_that_failed_is_told_and_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    Session("w2", file).keep("one", 0, {"failed": "why"})
    after = Session("w2", file)
    assert after.failure("one") == "why"
    assert after.rounds("one") == {}
    assert not after.has("one", 0)


def test_stages_are_limited_by_all_cores_together_or_by_the_slowest_of_them() -> None:
    seconds = {"a": 1.0, "b": 3.0}
    assert limits.limit(seconds, [["a"], ["b"]], cores=1) == pytest.approx(1 / 4)
    assert limits.limit(seconds, [["a"], ["b"]], cores=8) == pytest.approx(1 / 3)
    assert limits.limit(seconds, [["a", "b"]], cores=8) == pytest.approx(8 / 4)
