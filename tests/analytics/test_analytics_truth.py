"""What the application makes of the data agrees with what others counted and parsed."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from analytics.clicks import tracker_sessions
from analytics.events import Account, AnyEvent, Click, LogRecord, Malformed, Normal, Rate, Reading, Tick
from analytics.exchanges import Capture
from analytics.feeds import FEEDS, units_of
from analytics.ingest import lines_of, read
from analytics.logs import year_after
from analytics.normalize import normalize
from analytics.sessions import score_clicks


def events(data: Path, feed: str, format: str, file: str = "") -> list[AnyEvent]:
    """All events of a format, or of the units that hold `file`."""
    found: list[AnyEvent] = []
    for unit in units_of(data, feed):
        if unit.format == format and any(file in name for name in unit.files):
            for stretch in read(unit):
                for one in normalize(stretch):
                    if isinstance(one, Normal):
                        found += one.events[one.context :]
    return found


def instant(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_tracker_events_give_the_sessions_that_the_tracker_computes(sample: Path) -> None:
    clicks = [event for event in events(sample, "clicks", "snowplow") if isinstance(event, Click)]
    with (sample / "clickstream/snowplow/expected_sessions.csv").open(newline="") as file:
        expected = {
            row["domain_sessionid"]:
            (instant(row["start_tstamp"]), instant(row["end_tstamp"]), int(row["total_events"]), int(row["page_views"]))
            for row in csv.DictReader(file)
        }
    found = {s.id: (s.start, s.end, s.events, s.page_views) for s in tracker_sessions(clicks)}
    assert found.keys() == expected.keys()
    for session, figures in expected.items():
        assert found[session] == pytest.approx(figures, abs=1e-3)


def test_repeated_tracker_events_have_one_collector_stamp_so_the_first_may_stay(sample: Path) -> None:
    stamps = defaultdict(set)
    for row in csv.DictReader(lines_of(sample / "clickstream/snowplow/events.csv.gz")):
        stamps[row["event_id"]].add(row["collector_tstamp"])
    assert max(len(seen) for seen in stamps.values()) == 1


def test_trades_of_the_sample_are_exact_in_decimal_and_their_numbers_have_no_hole(sample: Path) -> None:
    for file in ("spot_btcusdt", "cm_btcusd_perp"):
        path = next((sample / "ticks/binance").glob(f"{file}*"))
        messages = [json.loads(line.partition(" ")[2])["data"] for line in lines_of(path) if line.endswith("}}")]
        truth = [m for m in messages if m.get("e") == "trade"]
        trades = [tick for tick in events(sample, "ticks", "binance", file) if tick.kind == "trade"]
        assert [t.last_id for t in trades if isinstance(t, Tick)] == [m["t"] for m in truth]
        assert exact_turnover(trades) == sum(Decimal(m["p"]) * Decimal(m["q"]) for m in truth)


def exact_turnover(trades: list[AnyEvent]) -> Decimal:
    """The sum of price by quantity, from the floats' shortest texts."""
    return sum((Decimal(repr(t.price)) * Decimal(repr(t.size)) for t in trades if isinstance(t, Tick)), Decimal())


def test_four_connections_with_the_same_streams_count_once(sample: Path) -> None:
    ticks = events(sample, "ticks", "exchange", "HITBTC")
    trades = [tick for tick in ticks if tick.kind == "trade"]
    assert len(trades) == 1000
    assert len({tick.id for tick in trades}) == 1000


def test_bytes_written_as_python_shows_them_are_unquoted() -> None:
    message = '{"ty":"trade","cd":"KRW-LAMB","ttms":1618678262000,"tp":127.0,"tv":46.4,"ab":"BID","sid":5}'
    line = f"1618678263.01: {message.encode()!r}"
    (tick,) = Capture()("ticks/exchanges/UPBIT.ws.62.0.txt.gz", 3, line)
    assert (tick.key, tick.price, tick.side, tick.last_id) == ("KRW-LAMB", 127.0, "buy", 5)  # type: ignore[union-attr]


def test_rates_are_kept_per_process_and_never_negative(sample: Path) -> None:
    rates = [rate for rate in events(sample, "logs", "nginx") if isinstance(rate, Rate)]
    assert {rate.key for rate in rates if rate.key.startswith("ssl:")} == {"ssl:64856", "ssl:64857"}
    assert all(rate.per_s >= 0 for rate in rates if rate.per_s is not None)
    requests = [rate for rate in rates if (rate.key, rate.kind) == ("server", "requests")]
    gained = sum((now.per_s or 0.0) * (now.ts - then.ts) for then, now in pairwise(requests))
    assert gained == pytest.approx(requests[-1].total - requests[0].total)


def test_clock_changes_are_marked_and_nothing_is_dropped(sample: Path) -> None:
    readings = [r for r in events(sample, "sensors", "nab", "ec2_network_in") if isinstance(r, Reading)]
    assert Counter(reading.clock for reading in readings) == {"ok": 4718, "repeat": 11, "gap": 1}


def test_summer_time_leaves_no_trace_in_the_instants_of_the_water_meter(sample: Path) -> None:
    readings = [r for r in events(sample, "sensors", "water-flow") if isinstance(r, Reading)]
    assert Counter(reading.clock for reading in readings) == {"ok": 1258, "gap": 10}


@pytest.mark.parametrize(("year", "previous", "month", "then"), [
    (2005, 0, 6, 2005), (2005, 6, 7, 2005), (2005, 12, 1, 2006), (2006, 1, 12, 2005), (2005, 7, 6, 2005),
])
def test_a_log_without_years_turns_the_year_in_january(year: int, previous: int, month: int, then: int) -> None:
    assert year_after(year, previous, month) == then


# On the whole data.


@pytest.mark.whole_data
@pytest.mark.parametrize("feed", FEEDS)
def test_every_line_of_the_data_has_one_fate_and_none_is_malformed(data_directory: Path, feed: str) -> None:
    for unit in units_of(data_directory, feed):
        accounted: Counter[str] = Counter()
        for stretch in read(unit):
            for one in normalize(stretch):
                assert not isinstance(one, Malformed)
                if isinstance(one, Account):
                    fates = one.stored + one.duplicate + one.continuation + one.control
                    assert fates == one.read
                    accounted[one.file] += fates
        assert accounted == {file: len(lines_of(data_directory / file)) for file in unit.files}


@pytest.mark.whole_data
@pytest.mark.parametrize("system", ["Apache", "BGL", "HDFS", "Linux", "OpenSSH", "Zookeeper"])
def test_log_messages_are_those_of_the_expected_parse(data_directory: Path, system: str) -> None:
    folder = data_directory / "logs/loghub" / system
    with (folder / f"{system}_2k.log_structured.csv").open(newline="", encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    records = [r for r in events(data_directory, "logs", system.lower()) if isinstance(r, LogRecord)]
    assert [record.message.strip() for record in records] == [row["Content"].strip() for row in truth]
    for record, row in zip(records, truth, strict=True):
        pattern = ".*?".join(re.escape(part) for part in row["EventTemplate"].strip().split("<*>"))
        assert re.fullmatch(pattern, record.message.strip())


@pytest.mark.whole_data
def test_mined_templates_agree_with_the_expected_events(data_directory: Path) -> None:
    agreed = 0
    for system in ("Apache", "BGL", "HDFS", "Linux", "OpenSSH", "Zookeeper"):
        with (data_directory / f"logs/loghub/{system}/{system}_2k.log_structured.csv").open(newline="") as file:
            truth = [row["EventId"] for row in csv.DictReader(file)]
        by_event: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for event, record in zip(truth, events(data_directory, "logs", system.lower()), strict=True):
            assert isinstance(record, LogRecord)
            by_event[event][record.template] += 1
        agreed += sum(templates.most_common(1)[0][1] for templates in by_event.values())
    assert agreed > 11_200  # of 12,000: what is not is split finer than the truth


@pytest.mark.whole_data
def test_counts_of_captured_messages_are_those_of_the_exchanges_own_parser(data_directory: Path) -> None:
    expected = json.loads((data_directory / "ticks/exchanges/expected_counts.json").read_text())
    names = {"trade": "TRADES", "quote": "TICKER", "book": "L2_BOOK", "candle": "CANDLES"}
    for venue, counts in expected.items():
        found: Counter[str] = Counter()
        for path in sorted((data_directory / "ticks/exchanges").glob(f"{venue}.ws*")):
            parse = Capture()  # by connection and without dropping duplicates, as that parser counts
            for number, line in enumerate(lines_of(path), 1):
                if line:
                    found.update(names[tick.kind] for tick in parse(path.name, number, line))
        lower = {"BITSTAMP": 717, "BINANCE_DELIVERY": 2047, "HITBTC": 2148}  # it drops old or repeated book updates
        assert found == {**counts, "L2_BOOK": lower.get(venue, counts["L2_BOOK"])}


BINANCE = [
    ("spot_btcusdt", 3735693016, 3735703162, "225.88237000", "13922855.4786462"),
    ("spot_ethusdt", 1520545031, 1520553439, "2011.40920000", "5387725.850172"),
    ("cm_btcusd_perp", 849716688, 849719636, "98942", "6097330122.7"),
]


@pytest.mark.whole_data
@pytest.mark.parametrize(("file", "first", "last", "quantity", "turnover"), BINANCE)
def test_trade_numbers_are_whole_and_sums_exact(
    data_directory: Path, file: str, first: int, last: int, quantity: str, turnover: str
) -> None:
    ticks = [tick for tick in events(data_directory, "ticks", "binance", file) if isinstance(tick, Tick)]
    trades = [tick for tick in ticks if tick.kind == "trade"]
    assert [tick.last_id for tick in trades] == list(range(first, last + 1))
    assert sum(Decimal(repr(tick.size)) for tick in trades) == Decimal(quantity)
    assert exact_turnover(list(trades)) == Decimal(turnover)


@pytest.mark.whole_data
def test_request_logs_have_the_counted_visitors_duplicates_and_sessions(data_directory: Path) -> None:
    nasa = [click for click in events(data_directory, "clicks", "nasa") if isinstance(click, Click)]
    score_clicks(nasa)
    assert (len(nasa), len({c.key for c in nasa}), len({c.session for c in nasa})) == (16_988, 1_434, 1_666)
    assert Counter(click.method for click in nasa) == {"GET": 16_941, "HEAD": 46, "POST": 1}
    apache = events(data_directory, "clicks", "combined")
    assert (len(apache), len({click.key for click in apache})) == (7_421 - 18, 1_350)


@pytest.mark.whole_data
def test_continuation_lines_and_levels_of_kafka_are_those_counted(data_directory: Path) -> None:
    records = [r for r in events(data_directory, "logs", "kafka", "server.log") if isinstance(r, LogRecord)]
    assert Counter(record.level for record in records) == {"INFO": 2_490, "ERROR": 5, "WARN": 1}
    assert sum(record.detail.count("\n") + bool(record.detail) for record in records) == 153


def test_a_file_is_read_the_same_packed_or_plain(tmp_path: Path) -> None:
    text = b"one\r\ntwo\xff\n\nlast"
    (tmp_path / "plain.log").write_bytes(text)
    (tmp_path / "packed.log.gz").write_bytes(gzip.compress(text))
    expected = ["one", "two\\xff", "", "last"]
    assert lines_of(tmp_path / "plain.log") == lines_of(tmp_path / "packed.log.gz") == expected
