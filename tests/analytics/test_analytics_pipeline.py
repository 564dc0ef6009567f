"""The pipeline as a whole: it can be planned, and its books add up with and without kills."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from analytics import demo
from analytics.books import check_books
from analytics.chaos import Chaos
from analytics.feeds import FEEDS, units_of
from analytics.pipeline import build
from analytics.usage import Options, WrongUsage

duckdb = pytest.importorskip("duckdb")


@pytest.mark.parametrize("rate", [None, "2000/s"])
def test_the_description_has_no_mistake_and_a_modest_number_of_workers(
    sample: Path, tmp_path: Path, rate: str | None
) -> None:
    app = build(sample, tmp_path / "x.duckdb", rate=rate, burst=rate and "8000/s")
    assert app.check() == ()
    assert {"normalize", "enrich", "score", "reject"} < set(app.plan().stages)
    assert len(app.plan().slot_groups()) <= 11


def test_a_folder_without_feeds_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ticks/binance"):
        build(tmp_path, tmp_path / "x.duckdb")


@pytest.mark.chaos
def test_the_sample_is_stored_to_the_line_while_workers_are_killed(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(Options(chaos=0.3, keep=tmp_path / "kept")) == 0
    with duckdb.connect(str(tmp_path / "kept/analytics.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM readings").fetchone() == (14_154,)
        assert connection.execute("SELECT count(*) FROM ticks").fetchone() == (9_798,)


@pytest.mark.chaos
def test_a_live_run_is_drained_with_every_line_accounted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(Options(rate="500/s", burst="2000/s", chaos=1.0, seconds=4.0)) == 0
    assert "every line is accounted for" in capsys.readouterr().out


@pytest.mark.chaos
def test_lost_repeated_and_forgotten_rows_show_in_the_books(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(Options(keep=tmp_path)) == 0
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


def test_kills_are_spread_over_all_slots_even_when_one_worker_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, signal: killed.append(pid))
    chaos = Chaos(1.0, Random(1), 0.0)
    chaos.strike(0.5, list(range(10)))
    for second in range(1, 101):
        chaos.strike(float(second), [7])
    assert 0 < len(killed) < 30
    assert chaos.kills == len(killed)


@pytest.mark.parametrize(("options", "said"), [
    ({"rate": "abc"}, "--rate: "), ({"rate": "5"}, "--rate: "), ({"rate": "-1/s"}, "--rate: "),
    ({"rate": "nan/s"}, "--rate: "), ({"rate": "1e999/s"}, "--rate: "), ({"rate": "0/s"}, "--rate: "),
    ({"rate": "5/s", "burst": "x"}, "--burst: "), ({"burst": "5/s"}, "--burst is for a live run; give --rate, too"),
    ({"seconds": 3.0}, "--seconds is for a live run"), ({"rate": "5/s", "seconds": -1.0}, "--seconds -1 is no time"),
    ({"chaos": 0.0}, "--chaos 0 is no time"), ({"chaos": float("nan")}, "--chaos nan is no time"),
    ({"keep": Path("/proc/x")}, "--keep /proc/x cannot be made"),
    ({"keep": Path("/dev/null/x")}, "--keep /dev/null/x cannot be made"),
])
def test_what_the_operator_gets_wrong_is_told_by_its_option_before_anything_starts(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(WrongUsage, match=re.escape(said)):
        demo.main(Options(**options))


def test_what_the_operator_gets_wrong_is_wrong_usage_of_the_command(tmp_path: Path) -> None:
    environment = os.environ | {"PENSTOCK_RUN_DIR": str(tmp_path / "run")}
    (tmp_path / "empty").mkdir()
    for arguments in (["--rate", "abc"], ["--keep", "/proc/x"], ["--data", str(tmp_path / "empty")], ["--chaos", "-1"]):
        for command in (["-m", "penstock", "demo"], [str(Path(demo.__file__))]):
            done = subprocess.run([sys.executable, *command, *arguments], capture_output=True, text=True, check=False,
                                  cwd=tmp_path, env=environment)
            assert done.returncode == 2, done.stderr
            assert done.stderr.startswith("error: ")
            assert "bug in penstock" not in done.stderr


def test_a_feed_that_cannot_be_replayed_is_told(sample: Path, tmp_path: Path) -> None:
    shutil.copytree(sample / "clickstream/snowplow", tmp_path / "clickstream/snowplow")
    with pytest.raises(WrongUsage, match="leave `--rate` out"):
        build(tmp_path, tmp_path / "x.duckdb", rate="5/s")
