"""The pipeline as a whole: it can be planned, and its books add up with and without kills."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from analytics import demo
from analytics.books import check_books
from analytics.chaos import Chaos
from analytics.feeds import FEEDS, units_of
from analytics.pipeline import build

duckdb = pytest.importorskip("duckdb")


@pytest.mark.parametrize("rate", [None, "2000/s"])
def test_the_description_has_no_mistake_and_a_modest_number_of_workers(
    sample: Path, tmp_path: Path, rate: str | None
) -> None:
    app = build(sample, tmp_path / "x.duckdb", rate=rate, burst=rate and "8000/s")
    assert app.check() == ()
    assert {"normalize", "enrich", "score", "reject"} < set(app.plan().stages)
    assert len(app.plan().seats()) <= 11


def test_a_folder_without_feeds_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ticks/binance"):
        build(tmp_path, tmp_path / "x.duckdb")


@pytest.mark.chaos
def test_the_sample_is_stored_to_the_line_while_workers_are_killed(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(chaos=0.3, keep=tmp_path / "kept") == 0
    with duckdb.connect(str(tmp_path / "kept/analytics.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM readings").fetchone() == (14_154,)
        assert connection.execute("SELECT count(*) FROM ticks").fetchone() == (9_798,)


@pytest.mark.chaos
def test_a_live_run_is_drained_with_every_line_accounted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(rate="500/s", burst="2000/s", chaos=1.0, seconds=4.0) == 0
    assert "every line is accounted for" in capsys.readouterr().out


@pytest.mark.chaos
def test_lost_repeated_and_forgotten_rows_show_in_the_books(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(keep=tmp_path) == 0
    with duckdb.connect(str(tmp_path / "analytics.duckdb")) as connection:
        connection.execute("DELETE FROM clicks WHERE line = 7 AND file LIKE '%nasa%'")
        connection.execute("INSERT INTO readings SELECT * FROM readings WHERE line = 9 AND file LIKE '%speed%'")
        connection.execute("DELETE FROM accounts WHERE file LIKE '%KRAKEN.ws.50%'")
    units = [unit for feed in FEEDS for unit in units_of(sample, feed)]
    errors = check_books(tmp_path / "analytics.duckdb", [], units).errors
    assert any("nasa" in error and "lines stored by the account" in error for error in errors)
    assert any("speed" in error and "and their ids" in error for error in errors)
    assert any("KRAKEN.ws.50" in error and "no account" in error for error in errors)
    assert any("KRAKEN.ws.50" in error and "0 were read" in error for error in errors)
    assert sum("dead letters" in error for error in errors) == 3


def test_kills_are_spread_over_all_seats_even_when_one_worker_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, signal: killed.append(pid))
    chaos = Chaos(1.0, Random(1), 0.0)
    chaos.strike(0.5, list(range(10)))
    for second in range(1, 101):
        chaos.strike(float(second), [7])
    assert 0 < len(killed) < 30
    assert chaos.kills == len(killed)
