"""The reference tables know what the sample holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics import reference
from analytics.enrich import Enrich
from analytics.events import Click, LogRecord, Normal, Reading, Tick
from analytics.feeds import FEEDS, units_of
from analytics.ingest import read
from analytics.normalize import normalize


@pytest.fixture
def enrich() -> Enrich:
    enrich = Enrich()
    enrich.open(None)  # type: ignore[arg-type]
    return enrich


def test_every_symbol_sensor_and_system_of_the_sample_is_known(sample: Path, enrich: Enrich) -> None:
    unknown = set()
    for feed in FEEDS:
        for unit in units_of(sample, feed):
            for stretch in read(unit):
                for normal in normalize(stretch):
                    for event in enrich(normal).events if isinstance(normal, Normal) else ():
                        match event:
                            case Tick(quote="") | Reading(place="") | LogRecord(owner="") | Click(section=""):
                                unknown.add((event.kind, event.key))
    assert unknown == set()


@pytest.mark.parametrize(("agent", "crawler"), [
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Google"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:27.0) Gecko/20100101 Firefox/27.0", ""),
    ("curl/7.30.0", "script"),
    ("", ""),
])
def test_user_agents_that_say_they_are_machines_are_named(enrich: Enrich, agent: str, crawler: str) -> None:
    assert enrich.crawler_of(agent) == crawler


def test_a_log_without_years_must_have_its_first_year_in_the_table() -> None:
    assert reference.first_year("linux") == 2005
    with pytest.raises(LookupError, match=r"services\.csv tells no first_year of kafka"):
        reference.first_year("kafka")
