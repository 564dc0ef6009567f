"""Every line has exactly one fate, whatever is in it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.events import Account, Malformed, Normal, Part, Stretch, Unit
from analytics.feeds import FEEDS, FORMATS, units_of
from analytics.harvest import harvest
from analytics.ingest import LIVE_LINES, Replay, lines_of, read
from analytics.normalize import normalize

SAMPLE = Path(__file__).parents[2] / "examples" / "analytics" / "sample"
UNITS = [unit for feed in FEEDS for unit in units_of(SAMPLE, feed)]
BY_FORMAT = {unit.format: unit for unit in UNITS}


def settled(account: Account) -> int:
    """Lines with a fate."""
    return account.stored + account.malformed + account.duplicate + account.continuation + account.control


def check(stretch: Stretch) -> tuple[list[Account], list[Malformed], list[Normal]]:
    """Harvests a stretch and checks its books."""
    found = list(normalize(stretch))
    accounts = [one for one in found if isinstance(one, Account)]
    malformed = [one for one in found if isinstance(one, Malformed)]
    normals = [one for one in found if isinstance(one, Normal)]
    assert sum(account.read for account in accounts) == sum(len(p.lines) for p in stretch.parts) - stretch.context
    for account in accounts:
        assert settled(account) == account.read
        assert sum(m.lines for m in malformed if m.file == account.file) == account.malformed
    own = [event for normal in normals for event in normal.events[normal.context :]]
    assert len(own) == sum(account.events for account in accounts)
    assert len({event.id for event in own}) == len(own)
    assert len({(event.file, event.line) for event in own}) == sum(account.stored for account in accounts)
    return accounts, malformed, normals


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.files[0])
def test_every_line_of_the_sample_has_one_fate(unit: Unit) -> None:
    read_lines = 0
    for stretch in read(unit):
        accounts, _, _ = check(stretch)
        read_lines += sum(account.read for account in accounts)
    assert read_lines == sum(len(lines_of(SAMPLE / file)) for file in unit.files)


def test_the_sample_has_the_stated_duplicates_dead_lines_and_continuations() -> None:
    total = Account("", 1, 0)
    torn = []
    for unit in UNITS:
        for stretch in read(unit):
            accounts, malformed, _ = check(stretch)
            torn += [(m.file.rpartition("/")[2], m.reason) for m in malformed]
            for account in accounts:
                total.duplicate += account.duplicate
                total.continuation += account.continuation
    assert torn == [
        ("nasa_1995-08-01_0600-1500Z.tsv.gz", "5 columns, not 9"),
        ("access_2015-05-17_19.log.gz", "not in the combined log format"),
        ("spot_btcusdt_20240809.gz", "Input data was truncated"),
    ]
    assert total.duplicate == 71  # HITBTC's second connection 68, Apache 1, Snowplow 2
    assert total.continuation == 138 + 103  # a configuration dump and stack traces


@pytest.mark.parametrize("format", sorted(FORMATS))
@given(data=st.data())
def test_damaged_lines_are_malformed_or_parsed_but_never_lost(format: str, data: st.DataObject) -> None:
    unit = BY_FORMAT.get(format)
    good = lines_of(SAMPLE / unit.files[0])[:40] if unit else ["- 1117838570 2005.06.03 R02 2005-06-03 R02 RAS KERNEL"]
    lines = list(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        begin = data.draw(st.integers(0, len(lines[at])))
        end = data.draw(st.integers(begin, len(lines[at])))
        lines[at] = lines[at][:begin] + data.draw(st.text(max_size=8)).replace("\n", " ") + lines[at][end:]
    file = unit.files[0] if unit else "logs/x.log"
    check(Stretch(format, [Part(file, 1, lines)], data.draw(st.integers(0, len(lines)))))


@given(st.lists(st.text(alphabet="[20] ,:x", max_size=12), max_size=30), st.integers(0, 40))
def test_context_is_never_accounted_for_and_the_rest_always(lines: list[str], context: int) -> None:
    context = min(context, len(lines))
    stretch = Stretch("kafka", [Part("logs/kafka/b/x.log", 7, lines)], context)
    accounts = [one for one in harvest(stretch, FORMATS["kafka"]) if isinstance(one, Account)]
    assert sum(account.read for account in accounts) == len(lines) - context
    assert all(settled(account) == account.read for account in accounts)


def test_stack_traces_stay_with_the_record_that_they_belong_to() -> None:
    stretch = Stretch("kafka", [Part("logs/kafka/b0/server.log", 1, [
        "[2016-12-19 16:32:15,874] WARN [Thread], no answer (kafka.Sender)",
        "java.io.IOException: Connection to 1 was disconnected",
        "\tat kafka.utils.Ops$.await(Ops.scala:83)",
        "[2016-12-19 16:32:15,900] INFO [Thread], goes on (kafka.Sender)",
    ])])
    (account,), _, (normal,) = check(stretch)
    first, second = normal.events
    assert (account.stored, account.continuation) == (2, 2)
    assert first.detail.count("\n") == 1  # type: ignore[union-attr]
    assert second.detail == ""  # type: ignore[union-attr]


def test_live_rounds_send_each_line_once_under_names_of_their_own() -> None:
    replay = Replay([unit for unit in UNITS if unit.format in ("nab", "kafka")])
    first = replay(0, Random(0))
    per_round = len(replay.stretches)
    sent: dict[str, int] = {}
    for n in range(per_round):
        for part in replay(n, Random(n)).parts:
            sent[part.file] = sent.get(part.file, 0) + len(part.lines) - replay(n, Random(n)).context
    assert sum(sent.values()) == sum(len(lines_of(SAMPLE / f)) for u in replay.units for f in u.files)
    again = replay(per_round, Random(0))
    assert [part.lines for part in again.parts] == [part.lines for part in first.parts]
    assert first.parts[0].file.endswith("~0")
    assert again.parts[0].file.endswith("~1")
    assert len(first.parts[0].lines) == LIVE_LINES
