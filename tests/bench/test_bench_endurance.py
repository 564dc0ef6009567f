"""What the long run's judgement rests on: trends that outliers do not move, a killer who meets everybody, plots."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import killing
import plots
import pytest
from trend import Limit, Point, slope, trend

LIMIT = Limit(0.05, 0.5)


def _noisy(per_s: float, *, seed: int = 1) -> list[Point]:
    """Half an hour of samples about 100; every tenth is an outlier."""
    rng = random.Random(seed)
    return [
        Point(float(at), 100.0 + per_s * at + rng.gauss(0.0, 1.0) + (200.0 if at % 10 == 3 else 0.0))
        for at in range(1800)
    ]


def test_noise_and_outliers_are_flat() -> None:
    assert trend(_noisy(0.0), LIMIT).flat


def test_what_grows_by_a_tenth_is_not_flat() -> None:
    found = trend(_noisy(10.0 / 1800), LIMIT)
    assert not found.flat
    assert found.per_hour == pytest.approx(20.0, rel=0.2)


def test_what_falls_is_flat_unless_falling_is_what_matters() -> None:
    assert trend(_noisy(-10.0 / 1800), LIMIT).flat
    assert not trend(_noisy(-10.0 / 1800), Limit(0.05, 0.5, falls=True)).flat


def test_a_leak_shows_although_each_successor_starts_small() -> None:
    lives = [Point(float(at), 50.0 + at % 300 * 0.01, at // 300) for at in range(1800)]
    assert slope(lives) == pytest.approx(0.01)
    assert not trend(lives, LIMIT).flat


def test_the_first_samples_do_not_count() -> None:
    warm = [Point(float(at), 0.0 if at < 80 else 100.0) for at in range(1800)]
    assert trend(warm, LIMIT).first == 100.0


def test_a_deck_has_each_kind_of_strike_spread_over_the_run() -> None:
    cards = killing.deck(900, 3, random.Random(7))
    assert len(cards) == 900
    assert Counter(cards)["the supervisor"] == 3
    for start in range(0, 900, 300):
        third = cards[start : start + 300]
        assert "the supervisor" in third
        assert {"the zygote", "every worker", "all sinks' workers", "several workers"} <= set(third)


def test_a_short_deck_has_every_kind_once_at_least() -> None:
    assert set(killing.SHARES) < set(killing.deck(30, 0, random.Random(7)))


def test_victims_are_whom_the_card_names() -> None:
    roles = killing.Roles(1, 2, 3, {4: "parse", 5: "sink", 6: "sink"})
    rng, sinks = random.Random(7), frozenset({"sink"})
    assert list(roles.victims("the supervisor", sinks, rng)) == [2]
    assert list(roles.victims("the zygote", sinks, rng)) == [3]
    assert list(roles.victims("all sinks' workers", sinks, rng)) == [5, 6]
    assert list(roles.victims("every worker", sinks, rng)) == [4, 5, 6]
    assert {roles.victims("one worker", sinks, rng)[0] for _ in range(100)} == {4, 5, 6}


def test_a_process_of_another_run_is_not_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert not killing.kill(other.pid, tmp_path / "run")
        other.communicate(b"\n")
    assert other.returncode == 0


def test_a_plot_is_one_small_document_however_many_samples_it_shows(tmp_path: Path) -> None:
    line = [(float(at), float(at % 60)) for at in range(20_000)]
    plots.write(tmp_path / "x.svg", [plots.Panel("a & b", {"one": line, "two": line[:50]}, rule=("limit", 70.0))])
    text = (tmp_path / "x.svg").read_text()
    ElementTree.fromstring(text)
    assert len(text) < 10_000
    assert "a &amp; b" in text
