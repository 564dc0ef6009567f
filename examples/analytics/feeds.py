"""Knows the four feeds: which files belong to which format, which of them are read together, in what order.

`units_of` looks through a data folder; `FORMATS` says how each format is understood. A folder that holds other files
besides is fine: only what a pattern names is read, and `unread` tells what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from analytics import clicks, exchanges, logs, nginx, reference, sensors, ticks
from analytics.events import Unit
from analytics.harvest import Format, Parser

FEEDS = ("clicks", "sensors", "ticks", "logs")


def _always(parser: Parser) -> Callable[[], Parser]:
    """For parsers that keep nothing: one does for all stretches."""
    return lambda: parser


FORMATS: Mapping[str, Format] = {
    "nasa": Format(_always(clicks.nasa), header="host\t"),
    "combined": Format(_always(clicks.combined), repeats=True),
    "snowplow": Format(clicks.Snowplow),
    "nab": Format(sensors.nab, header="timestamp,"),
    "water-flow": Format(sensors.water_flow, header="Time,"),
    "binance": Format(_always(ticks.binance), repeats=True),
    "exchange": Format(exchanges.Capture, repeats=True),
    "kafka": Format(_always(logs.kafka), continues=logs.continues_kafka),
    "apache": Format(_always(logs.apache)),
    "bgl": Format(_always(logs.bgl)),
    "hdfs": Format(_always(logs.hdfs)),
    "linux": Format(partial(logs.Syslog, "linux", reference.first_year("linux"))),
    "openssh": Format(partial(logs.Syslog, "openssh", reference.first_year("openssh"))),
    "zookeeper": Format(_always(logs.zookeeper)),
    "nginx": Format(nginx.Status),
}


def _alone(file: str) -> str:
    return file


def _log(file: str) -> str:
    """Folder and first word: another broker's log of the same name is another log."""
    folder, _, name = file.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"


@dataclass(frozen=True)
class _Pattern:
    feed: str
    format: str
    globs: tuple[str, ...]
    together: Callable[[str], str] = _alone
    """Files with an equal result are one unit."""


_PATTERNS = (
    _Pattern("clicks", "nasa", ("clickstream/nasa/*.tsv*",)),
    _Pattern("clicks", "combined", ("clickstream/apache_access/*.log*",)),
    _Pattern("clicks", "snowplow", ("clickstream/snowplow/events.csv*",)),
    _Pattern("sensors", "nab", ("sensors/nab/data/*/*.csv*",)),
    _Pattern("sensors", "water-flow", ("sensors/waterflow/*.csv*",)),
    _Pattern("ticks", "binance", ("ticks/binance/*.gz",)),
    _Pattern("ticks", "exchange", ("ticks/exchanges/*.txt", "ticks/exchanges/*.txt.gz"), _log),
    _Pattern("logs", "kafka", ("logs/kafka/*/*.log*",), _log),
    *(_Pattern("logs", system.lower(), (f"logs/loghub/{system}/*.log", f"logs/loghub/{system}/*.log.gz"))
      for system in ("Apache", "BGL", "HDFS", "Linux", "OpenSSH", "Zookeeper")),
    _Pattern("logs", "nginx", ("logs/nginx_status/*.jsonl*",)),
)


def units_of(data: Path, feed: str) -> list[Unit]:
    """What a feed has to read below `data`, always in the same order."""
    return [unit for pattern in _PATTERNS if pattern.feed == feed for unit in _units(data, pattern)]


def _units(data: Path, pattern: _Pattern) -> Iterator[Unit]:
    found = {path.relative_to(data).as_posix() for glob in pattern.globs for path in data.glob(glob)}
    files = sorted(found, key=_oldest_first)
    for _, group in groupby(sorted(files, key=pattern.together), key=pattern.together):
        yield Unit(pattern.feed, pattern.format, str(data), tuple(group))


def _oldest_first(file: str) -> tuple[str, bool, str]:
    """Rotated logs by their date; the one without a date is being written, hence the newest."""
    name = file.rpartition("/")[2].removesuffix(".gz")
    return name.partition(".")[0], name.endswith(".log"), file
