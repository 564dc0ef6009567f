"""What is odd in the input costs its own line and nothing else, and nothing odd is left without a word."""

from __future__ import annotations

import csv
import gzip
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.anomaly import score_readings
from analytics.enrich import Enrich
from analytics.events import (
    Account,
    AnyEvent,
    Click,
    Malformed,
    Normal,
    Part,
    Rate,
    Reading,
    Stretch,
    Tick,
    Unit,
)
from analytics.exchanges import Capture
from analytics.feeds import FEEDS, FORMATS, units_of
from analytics.flow import score_ticks
from analytics.ingest import Replay, lines_of, read
from analytics.logs import Syslog
from analytics.normalize import normalize
from analytics.score import score
from analytics.stamps import instant
from analytics.unread import told, unread

SAMPLE = Path(__file__).parents[2] / "examples" / "analytics" / "sample"
UTC_NOON = 1396353600.0  # 2014-04-01 12:00:00 UTC


def harvested(format: str, lines: list[str], file: str = "f") -> tuple[list[AnyEvent], list[Malformed], Account]:
    """Events, malformed lines and the account of one file."""
    found = list(normalize(Stretch(format, [Part(file, 1, lines)])))
    (account,) = (one for one in found if isinstance(one, Account))
    events = [event for one in found if isinstance(one, Normal) for event in one.events]
    return events, [one for one in found if isinstance(one, Malformed)], account


def written(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


# One odd line costs one line.


def snapshots() -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(SAMPLE / "logs/nginx_status/status_first300.jsonl.gz")]


@pytest.mark.parametrize("odd", ["12", 1.5, None, True, -1, 2**63, 10**400, [], {}])
def test_a_snapshot_with_an_odd_counter_is_malformed_and_its_neighbours_are_stored(odd: object) -> None:
    all_of_them = snapshots()
    all_of_them[7]["requests"]["total"] = odd
    events, malformed, account = harvested("nginx", [json.dumps(one) for one in all_of_them])
    assert [one.line for one in malformed] == [8]
    assert account.stored == len(all_of_them) - 1
    gaps = [event.line for event in events if isinstance(event, Rate) and (event.key, event.kind) ==
            ("server", "requests") and event.per_s is None]
    assert gaps == [1]  # the next rate reaches over the odd one


def odd_json() -> st.SearchStrategy[object]:
    return st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6) | st.just(
        10**30) | st.sampled_from([[], {}, [[]], "1e999", "nan", "-1", -1.0, 1e308, 5e-324])


def replaced(value: Any, at: int, odd: object) -> tuple[Any, int]:
    """`value` with its `at`-th leaf as `odd`; and how many leaves were passed."""
    if isinstance(value, (dict, list)) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        changed, passed = {}, 0
        for key, child in items:
            changed[key], seen = replaced(child, at - passed, odd)
            passed += seen
        return (changed if isinstance(value, dict) else list(changed.values())), passed
    return (odd if at == 0 else value), 1


MESSAGES: dict[str, tuple[str, str, Callable[[str], tuple[str, str]]]] = {
    "nginx": ("logs", "nginx", lambda line: ("", line)),
    "binance": ("ticks", "binance", lambda line: (line.partition(" ")[0] + " ", line.partition(" ")[2])),
    "exchange": ("ticks", "exchange", lambda line: (line.partition(": ")[0] + ": ", line.partition(": ")[2])),
}
JSON_UNITS = [(format, unit, head) for feed, format, head in MESSAGES.values()
              for unit in units_of(SAMPLE, feed) if unit.format == format]


@pytest.mark.parametrize(("format", "unit", "head"), JSON_UNITS, ids=lambda one: getattr(one, "files", ("",))[0])
@settings(max_examples=60)
@given(data=st.data())
def test_any_value_in_any_field_is_stored_or_malformed_and_costs_no_other_line(
    format: str, unit: Unit, head: Callable[[str], tuple[str, str]], data: st.DataObject
) -> None:
    lines = [line for line in lines_of(SAMPLE / unit.files[-1])[:150] if line.endswith(("}", "]"))][-30:]
    at = data.draw(st.integers(0, len(lines) - 1))
    before, message = head(lines[at])
    leaves = replaced(json.loads(message), -1, None)[1]
    changed, _ = replaced(json.loads(message), data.draw(st.integers(0, leaves - 1)), data.draw(odd_json()))
    damaged = [*lines[:at], before + json.dumps(changed), *lines[at + 1 :]]
    found = list(normalize(Stretch(format, [Part(unit.files[-1], 1, damaged)])))
    assert {one.line for one in found if isinstance(one, Malformed)} <= {at + 1}
    enrich = Enrich()
    enrich.open(None)  # type: ignore[arg-type]
    for one in found:
        if isinstance(one, Normal):
            assert _decoded(one) == one  # it travels whole
            score(enrich(one))  # and nothing of it stops the scores


def _decoded(normal: Normal) -> Normal:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(normal), type=Normal)


@pytest.mark.parametrize(("format", "good", "odd"), [
    ("linux", "Jun 14 15:16:01 combo sshd[1]: hello", "Jun 99999999999999999999 15:16:01 combo sshd[1]: hello"),
    ("nasa", "h\t-\t807256800\tGET\t/\t200\t1", "h\t-\tnan\tGET\t/\t200\t1"),
    ("nasa", "h\t-\t807256800\tGET\t/\t200\t1", f"h\t-\t807256800\tGET\t/\t{10**30}\t1"),
    ("binance", '1 {"data":{"e":"trade","s":"X","t":1,"p":"1","q":"1","T":1}}',
     '1 {"data":{"e":"trade","s":"X","t":2,"p":"inf","q":"1","T":1}}'),
])
def test_a_number_that_no_column_holds_is_malformed_alone(format: str, good: str, odd: str) -> None:
    events, malformed, account = harvested(format, [good, odd])
    assert ([event.line for event in events], [one.line for one in malformed]) == ([1], [2])
    assert (account.stored, account.malformed) == (1, 1)


def test_a_day_that_does_not_exist_does_not_change_the_year_of_its_neighbours() -> None:
    parse = Syslog("linux", 2005)
    (first,) = parse("f", 1, "Jul 30 15:16:01 combo sshd[1]: hello")
    with pytest.raises(ValueError, match="day"):
        parse("f", 2, "Jan 99 15:16:01 combo sshd[1]: hello")
    (second,) = parse("f", 3, "Aug 01 15:16:01 combo sshd[1]: hello")
    assert 0 < second.ts - first.ts < 3 * 86400


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=400))
def test_no_reading_and_no_price_stops_the_scores(values: list[float]) -> None:
    readings = [Reading(id=str(n), file="f", line=n, ts=n * 300.0, key="s", kind="nab", value=value, stamp="")
                for n, value in enumerate(values * 2)]
    score_readings(readings)
    assert all(0 <= reading.anomaly < 1 for reading in readings)
    score_ticks([Tick(id="", file="f", line=1, ts=0.0, key="X", kind="trade", venue="v", price=value, size=1.0)
                 for value in values])


# Nothing is left out without a word.


@pytest.mark.parametrize(("venue", "message"), [
    ("KRAKEN", {"event": "subscriptionRevoked"}), ("KRAKEN", {}), ("KRAKEN", [1, {"a": []}, "spread", "XBT/USD"]),
    ("BITMEX", {"error": "rate limit", "status": 429}), ("BITMEX", {"table": "liquidation", "data": []}),
    ("HITBTC", {"jsonrpc": "2.0", "error": {"code": 1}, "id": 1}), ("HITBTC", {"hello": 1}),
    ("COINBASE", {"type": "error"}), ("BITSTAMP", {"event": "bts:error", "channel": "", "data": {}}),
    ("GEMINI", {"type": "error"}), ("UPBIT", {"ty": "myTrade"}), ("BINANCE_US", {"data": {"s": "X", "e": "oops"}}),
])
def test_a_message_that_no_rule_names_is_malformed_and_never_control(venue: str, message: object) -> None:
    line = f"1618678263.01: {json.dumps(message)}"
    _, malformed, account = harvested("exchange", [line], f"ticks/exchanges/{venue}.ws.1.0.txt.gz")
    assert ([one.line for one in malformed], account.control) == ([1], 0)


@pytest.mark.parametrize(("venue", "message"), [
    ("KRAKEN", {"event": "heartbeat"}), ("BITMEX", {"info": "Welcome"}), ("BITMEX", {"success": True}),
    ("HITBTC", {"jsonrpc": "2.0", "result": True, "id": "x"}), ("GEMINI", {"type": "heartbeat"}),
])
def test_acknowledgements_and_heartbeats_are_control(venue: str, message: object) -> None:
    assert Capture()(f"x/{venue}.ws.1", 1, f"1618678263.01: {json.dumps(message)}") == []


@pytest.mark.parametrize(("format", "line"), [
    ("nab", "2014-04-01 12:00:00,5"), ("water-flow", "2022-03-20T12:00:00+01:00,5"),
    ("nasa", "h\t-\t807256800\tGET\t/\t200\t1"),
])
def test_a_first_line_that_is_not_a_header_is_a_record(format: str, line: str) -> None:
    events, _, account = harvested(format, [line, line.replace("5", "6")])
    assert [event.line for event in events] == [1, 2]
    assert account.control == 0


def test_files_that_no_pattern_names_are_listed_with_their_lines(tmp_path: Path) -> None:
    written(tmp_path / "logs/kafka/b0/server.log", "[2016-12-19 16:32:15,874] INFO a (b)")
    written(tmp_path / "logs/loghub/Apache/Apache_2k.txt", "one", "two", "three")
    written(tmp_path / "logs/loghub/Apache/old.txt.gz", "one", "two")
    (tmp_path / "logs/loghub/Apache/torn.gz").write_bytes(gzip.compress(b"x\n" * 1000)[:-12])
    for n in range(9):
        written(tmp_path / f"notes/{n}.md", "a note")
    found = unread(tmp_path)
    assert {one.file: one.lines for one in found if one.folder == "logs/loghub/Apache"} == {
        "logs/loghub/Apache/Apache_2k.txt": 3, "logs/loghub/Apache/old.txt.gz": 2, "logs/loghub/Apache/torn.gz": None,
    }
    text = told(found)
    assert "12 files with 14 lines" in text
    assert "logs/loghub/Apache/Apache_2k.txt: 3 lines" in text
    assert "logs/loghub/Apache/torn.gz: cannot be read" in text
    assert "notes/: 9 files, 9 lines" in text


def test_every_file_is_read_or_listed() -> None:
    named = [file for feed in FEEDS for unit in units_of(SAMPLE, feed) for file in unit.files]
    others = [one.file for one in unread(SAMPLE)]
    assert sorted(named + others) == sorted(p.relative_to(SAMPLE).as_posix() for p in SAMPLE.rglob("*") if p.is_file())
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("system", ["Apache", "BGL", "HDFS", "Linux", "OpenSSH", "Zookeeper"])
def test_a_packed_log_of_a_known_system_is_read(tmp_path: Path, system: str) -> None:
    written(tmp_path / f"logs/loghub/{system}/{system}_2k.log.gz", "x")
    written(tmp_path / f"logs/loghub/{system}/{system}_2k.log_structured.csv", "x")
    (unit,) = units_of(tmp_path, "logs")
    assert (unit.format, unit.files) == (system.lower(), (f"logs/loghub/{system}/{system}_2k.log.gz",))


# Brokers, symbols, stamps, page views.


def test_logs_of_several_brokers_are_read_apart_and_each_in_its_order(tmp_path: Path) -> None:
    for broker in ("broker0", "broker1"):
        for name in ("server.log", "server.log.2016-12-19-16", "controller.log"):
            written(tmp_path / f"logs/kafka/{broker}/{name}", "[2016-12-19 16:32:15,874] INFO a (b)")
    assert {unit.files for unit in units_of(tmp_path, "logs")} == {
        files for broker in ("broker0", "broker1") for files in (
            (f"logs/kafka/{broker}/controller.log",),
            (f"logs/kafka/{broker}/server.log.2016-12-19-16", f"logs/kafka/{broker}/server.log"),
        )
    }


@pytest.mark.parametrize(("venue", "symbol", "worth"), [
    ("binance_delivery", "ADAUSD_PERP", None), ("bitmex", "XBTU99", None), ("coinbase", "NEW-USD", None),
    ("binance_delivery", "BTCUSD_211231", 300.0), ("coinbase", "SKL-USD", 180_000.0),
])
def test_a_trade_in_an_unknown_symbol_has_no_notional(venue: str, symbol: str, worth: float | None) -> None:
    enrich = Enrich()
    enrich.open(None)  # type: ignore[arg-type]
    tick = Tick(id="", file="f", line=1, ts=0.0, key=symbol, kind="trade", venue=venue, price=60_000.0, size=3.0)
    enrich(Normal([tick]))
    assert tick.notional == worth


@pytest.mark.parametrize(("stamp", "ts"), [
    ("2014-04-01 12:00:00", UTC_NOON), ("2014-04-01T12:00:00Z", UTC_NOON), ("2014-04-01 14:00:00+02:00", UTC_NOON),
    ("2014-04-01T06:30:00-05:30", UTC_NOON),
])
def test_an_offset_is_obeyed_and_without_one_it_is_utc(
    stamp: str, ts: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert instant(stamp) == ts
        ((reading,), _, _) = harvested("nab", ["timestamp,value", f"{stamp},5"])
        assert reading.ts == ts
        message = {"type": "match", "side": "buy", "product_id": "X-Y", "time": stamp, "price": "1", "size": "1",
                   "trade_id": 1}
        (tick,) = Capture()("x/COINBASE.ws.1", 1, f"1.0: {json.dumps(message)}")
        assert tick.ts == ts
    finally:
        monkeypatch.undo()
        time.tzset()


def tracker_lines(**changed: str) -> list[str]:
    """The header and one event of the tracker, with some columns changed."""
    header, first, *_ = lines_of(SAMPLE / "clickstream/snowplow/events.csv.gz")
    row = dict(zip(next(csv.reader([header])), next(csv.reader([first])), strict=True))
    row |= {"domain_sessionid": "s", "dvce_created_tstamp": "2014-04-01", "dvce_sent_tstamp": "2014-04-01"} | changed
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([list(row), list(row.values())])
    return out.getvalue().splitlines()


_CONTEXT = "contexts_com_snowplowanalytics_snowplow_web_page_1_0_0"


@pytest.mark.parametrize("context", ['[{"id":null}]', "[{}]", "[null]", "[]", "null", "", '[[{"id":"x"}]]'])
def test_an_event_without_a_page_view_id_is_stored_and_left_out_of_its_session(context: str) -> None:
    (click,), malformed, _ = harvested("snowplow", tracker_lines(**{_CONTEXT: context}))
    assert malformed == []
    assert isinstance(click, Click)
    assert (click.page_view, click.left_out) == ("", "no page view id")


def test_an_offset_of_the_tracker_is_obeyed_and_a_missing_stamp_is_not_late() -> None:
    (click,), _, _ = harvested("snowplow", tracker_lines(derived_tstamp="2014-04-01 14:00:00+02:00",
                                                         dvce_sent_tstamp=""))
    assert isinstance(click, Click)
    assert (click.ts, click.left_out) == (UTC_NOON, "")


# What comes again.


def depth(number: int) -> str:
    return f'{number} {{"data":{{"e":"depthUpdate","s":"X","E":1,"U":{number},"u":{number},"b":[],"a":[]}}}}'


def accounts_and_ids(stretches: list[Stretch]) -> tuple[list[Account], list[str]]:
    accounts, ids = [], []
    for stretch in stretches:
        for one in normalize(stretch):
            if isinstance(one, Account):
                accounts.append(one)
            elif isinstance(one, Normal):
                ids += [event.id for event in one.events[one.context :]]
    return accounts, ids


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3999), st.integers(0, 3999)), max_size=6))
def test_a_message_that_comes_again_however_far_away_is_a_stated_duplicate(
    tmp_path_factory: pytest.TempPathFactory, copies: list[tuple[int, int]]
) -> None:
    lines = [depth(n + 1) for n in range(4000)]
    for source, target in copies:
        lines[target] = lines[source]
    folder = tmp_path_factory.mktemp("data")
    written(folder / "ticks/binance/x.gz", *lines)
    (unit,) = units_of(folder, "ticks")
    accounts, ids = accounts_and_ids(list(read(unit)))
    assert len(ids) == len(set(ids)) == len(set(lines)) == sum(account.stored for account in accounts)
    assert sum(account.duplicate for account in accounts) == len(lines) - len(set(lines))


def test_the_second_of_two_equal_ids_counts_where_the_first_is_malformed(tmp_path: Path) -> None:
    broken = '5 {"data":{"e":"trade","s":"X","t":7,"p":"x","q":"1","T":1}}'
    good = broken.replace('"x"', '"2"')
    lines = [broken, *(depth(n) for n in range(3000)), good, *(depth(n) for n in range(3000, 6000)), good]
    written(tmp_path / "ticks/binance/x.gz", *lines)
    (unit,) = units_of(tmp_path, "ticks")
    accounts, ids = accounts_and_ids(list(read(unit)))
    assert ids.count("binance:X:trade:7") == 1
    assert (sum(a.malformed for a in accounts), sum(a.duplicate for a in accounts)) == (1, 1)


def test_a_live_feed_knows_what_came_before_in_its_round(tmp_path: Path) -> None:
    lines = [depth(n) for n in range(400)]
    written(tmp_path / "ticks/binance/x.gz", *lines, *lines[:5])
    replay = Replay(units_of(tmp_path, "ticks"))
    first = replay(0, Random(0))
    per_round = len(replay.stretches)
    for lap in (0, 1):
        accounts, ids = accounts_and_ids([replay(lap * per_round + n, Random(0)) for n in range(per_round)])
        assert len(ids) == len(set(ids)) == 400
        assert sum(account.duplicate for account in accounts) == 5
    assert first.known == []


def test_formats_that_number_their_lines_need_no_look_for_repeats() -> None:
    assert {name for name, format in FORMATS.items() if format.repeats} == {"binance", "exchange", "combined"}
