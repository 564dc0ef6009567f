"""The windows of the reference application are those of plain Python: after kills, and after a lost machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from analytics import demo
from analytics.agreement import agreement, read_duckdb, read_postgres
from analytics.arrivals import Arrivals, ArrivalsReader, arrivals
from analytics.chaos import lenient, watch
from analytics.events import Click, LogRecord, Reading, Tick
from analytics.feeds import units_of
from analytics.lost_machine import lose
from analytics.plain import feeds_of, plain
from analytics.summary import Latency
from analytics.usage import Options, WrongUsage
from analytics.windows import Into, build
from analytics.windows_shown import compared, told
from penstock.source import EndOfSplit
from penstock.testing import ScriptedSource, Watermark, run
from postgres_server import made_server

pytest.importorskip("duckdb")
pytestmark = pytest.mark.timeout(600)


def test_the_description_has_no_mistake(sample: Path, tmp_path: Path) -> None:
    app = build(sample, Into(tmp_path / "x.duckdb", "dbname=nowhere"))
    assert app.check() == ()


@pytest.mark.parametrize(("feed", "kind"), [("clicks", Click), ("sensors", Reading), ("ticks", Tick),
                                            ("logs", LogRecord)])
def test_a_reader_that_is_opened_anywhere_gives_the_rest(sample: Path, feed: str, kind: type) -> None:
    source = Arrivals(units_of(sample, feed), kind)
    whole = _ids(source.open(None, None, None))  # type: ignore[arg-type]
    assert len(whole) == len(set(whole))
    for position in (1, len(whole) // 3, len(whole)):
        assert _ids(source.open(None, position, None)) == whole[position:]  # type: ignore[arg-type]


def test_events_come_in_the_order_of_their_files_and_files_in_the_order_of_their_clocks(sample: Path) -> None:
    lines: dict[str, int] = {}
    came = list(arrivals(units_of(sample, "sensors"), Reading))
    for reading in came:
        assert reading.line > lines.get(reading.file, 0)
        lines[reading.file] = reading.line
    assert [reading.ts for reading in came] == sorted(reading.ts for reading in came)


def test_plain_python_gives_what_was_counted_by_hand(tmp_path: Path) -> None:
    folder = tmp_path / "clickstream" / "nasa"
    folder.mkdir(parents=True)
    clicks = [("a", 0, "/x.html", 10), ("b", 60, "/y.gif", 5), ("a", 1799, "/z.gif", 1), ("a", 3599, "/x.html", 2)]
    lines = [f"{host}\t-\t{time}\tGET\t{url}\t200\t{size}\t\t" for host, time, url, size in clicks]
    (folder / "nasa.tsv").write_text("\n".join(["host\tlogname\ttime\tmethod\turl\tresponse\tbytes", *lines, ""]))
    assert sorted(plain(feeds_of(tmp_path))["sessions"]) == [
        ("a", 0.0, 3599.0, 2, 1, 11), ("a", 3599.0, 5399.0, 1, 1, 2), ("b", 60.0, 1860.0, 1, 0, 5),
    ]


@pytest.mark.chaos
@pytest.mark.parametrize("chaos", [None, 0.4])
def test_the_tables_are_those_of_plain_python_while_workers_are_killed(
    sample: Path, tmp_path: Path, chaos: float | None
) -> None:
    _run(sample, Into(tmp_path / "windows.duckdb"), chaos)
    _require_agreement(tmp_path, sample)


@pytest.mark.chaos
def test_both_databases_have_the_same_tables_while_workers_are_killed(sample: Path, tmp_path: Path) -> None:
    with made_server() as server:
        _run(sample, Into(tmp_path / "windows.duckdb", server.dsn()), 0.4)
        assert agreement("PostgreSQL", read_postgres(server.dsn()), feeds_of(sample)).differences == []
    _require_agreement(tmp_path, sample)


@pytest.mark.chaos
def test_a_lost_machine_leaves_no_trace_in_the_tables(sample: Path, tmp_path: Path) -> None:
    loss = lose(sample, tmp_path, None)
    assert loss.processes > 5
    assert loss.memory_bytes > 0
    assert 0 < loss.kept <= loss.events
    assert int(loss.checkpoint) >= 1
    assert all(len(line) <= 80 for line in told(loss).splitlines())
    _require_agreement(tmp_path, sample)


@pytest.mark.chaos
def test_postgres_has_the_same_tables_when_the_machine_is_lost_in_the_demo(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with made_server() as server:
        assert demo.main(Options(keep=tmp_path, postgres=server.dsn(), lose_machine=True)) == 0
        assert agreement("PostgreSQL", read_postgres(server.dsn()), feeds_of(sample)).differences == []
    shown = capsys.readouterr().out
    assert "PostgreSQL, schema penstock_demo" in shown
    assert shown.count("the same") == 8
    assert max(len(line) for line in shown.splitlines() if str(tmp_path) not in line) <= 80


@pytest.mark.chaos
def test_what_differs_is_named_and_fails_the_demo(sample: Path, tmp_path: Path) -> None:
    import duckdb

    _run(sample, Into(tmp_path / "windows.duckdb"), None)
    with duckdb.connect(str(tmp_path / "windows.duckdb")) as connection:
        connection.execute("UPDATE sessions SET requests = requests + 1 WHERE key = 'hella.stm.it'")
        connection.execute("DELETE FROM bars WHERE market = 'upbit KRW-LAMB'")
        connection.execute("DELETE FROM late WHERE id = (SELECT min(id) FROM late)")
    found = agreement("DuckDB", read_duckdb(tmp_path / "windows.duckdb"), feeds_of(sample))
    assert {difference.partition(":")[0] for difference in found.differences} == {"sessions", "bars"}
    assert compared([found]).count("DIFFERS") == 2


@pytest.mark.chaos
@pytest.mark.whole_data
@pytest.mark.timeout(1800)
def test_more_data_survives_the_loss_of_the_machine(data_directory: Path, tmp_path: Path) -> None:
    for feed in ("clickstream", "ticks", "logs"):  # without the sensors, which have more rows than these together
        (tmp_path / "data" / feed).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / feed).symlink_to(data_directory / feed)
    lose(tmp_path / "data", tmp_path, None)
    found = agreement("DuckDB", read_duckdb(tmp_path / "windows.duckdb"), feeds_of(tmp_path / "data"))
    assert found.differences == []
    assert found.rows == {"sessions": 3996, "sensor_hours": 0, "bars": found.rows["bars"], "error_rates": 740}


def test_a_database_that_cannot_be_reached_is_told_before_anything_starts(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(WrongUsage, match=r"--postgres: .*give another connection string"):
        demo.main(Options(keep=tmp_path, postgres=f"host={tmp_path} connect_timeout=2"))


def _run(data: Path, into: Into, chaos: float | None) -> None:
    app = build(data, into)
    with app.start(settings=lenient(app, chaos), state_dir=into.database.parent / "state") as handle:
        report, _ = watch(handle, chaos, None, Latency())
    assert (report.outcome, report.dead_letters) == ("finished", 0)


def _require_agreement(folder: Path, data: Path) -> None:
    found = agreement("DuckDB", read_duckdb(folder / "windows.duckdb"), feeds_of(data))
    assert found.differences == []
    assert found.rows["sessions"] == 632  # what is compared is there
    assert found.rows["sensor_hours"] == 3932
    assert 700 < found.late["bars"] < 900  # a capture that begins with trades of the weeks before


def _ids(reader: ArrivalsReader[Click]) -> Sequence[str]:
    found = []
    while True:
        try:
            found += [event.id for event in reader.read() or []]
        except EndOfSplit:
            return found


def test_late_trades_correct_their_bar_for_an_hour_and_are_kept_after_that(sample: Path, tmp_path: Path) -> None:
    noon = 1_700_000_400.0
    ticks = [_trade("a", noon + 0.6, 3.0), _trade("b", noon + 0.2, 1.0), Watermark(noon + 1),
             _trade("c", noon + 0.1, 9.0), Watermark(noon + 2), Watermark(noon + 3601), _trade("d", noon + 0.5, 5.0)]
    idle: dict[str, ScriptedSource] = {name: ScriptedSource([]) for name in ("clicks", "readings", "records")}
    ran = run(build(sample, Into(tmp_path / "x.duckdb")), {"ticks": ScriptedSource(ticks), **idle})
    bars = [(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades) for bar in ran.outputs["duckdb-bars"]]
    assert bars == [(1.0, 3.0, 1.0, 3.0, 2.0, 2), (9.0, 9.0, 1.0, 3.0, 3.0, 3)]
    assert [(late.of, late.id) for late in ran.outputs["duckdb-late"]] == [("bars", "d")]


def _trade(id: str, ts: float, price: float) -> Tick:
    return Tick(id=id, file="", line=0, ts=ts, key="X", kind="trade", venue="v", price=price, size=1.0)
