"""Parses log lines: Kafka's rotated logs and six systems' formats; mines the template of every message.

Rules
- A Kafka record is a line that starts with `[time]` and all lines up to the next such line (a stack trace, a
  configuration dump). Lines before the first record of a file belong to nothing known: malformed.
- Syslog (`linux`, `openssh`) tells no year: a log starts in the year that `tables/services.csv` states, and a
  month that falls back by more than half a year starts the next one. Zones are not told either: all its times are UTC.
- BGL's first field is the system's own label; `-` is none. Its time is the epoch field, which needs no zone.
- Lines that repeat are separate records: programs say the same thing twice. There are no duplicates in logs.
- A template is the message with words that hold a digit, values, paths and dates replaced by `<*>`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import PurePosixPath

from analytics.events import AnyEvent, LogRecord
from analytics.stamps import instant

_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}

_KAFKA = re.compile(r"\[([^],]+),(\d{3})\] ([A-Z]+) (.*?)(?: \(([\w.$]+)\))?")
_APACHE = re.compile(r"\[\w{3} (\w{3}) (\d\d) (\d\d:\d\d:\d\d) (\d{4})\] \[(\w+)\] (.*)")
_HDFS = re.compile(r"(\d\d)(\d\d)(\d\d) (\d\d)(\d\d)(\d\d) (\d+) (\w+) ([^ ]+): (.*)")
_ZOOKEEPER = re.compile(r"([\d-]+ [\d:]+),(\d{3}) - (\w+) +\[(.*)@(\d+)\] - (.*)")
_BGL = re.compile(r"(\S+) (\d+) \S+ (\S+) (\S+) \S+ \S+ (\S+) (\S+) (.*)")
_SYSLOG = re.compile(r"(\w{3}) +(\d+) (\d\d):(\d\d):(\d\d) (\S+) (?:(.*?)(?:\[(\d+)\])?: )?(.*)")

_VARIABLE = re.compile(
    r"(?<==)[^\s,;()]+"  # the value of name=value
    r"|[^\s,;()\[\]=]*\d[^\s,;()\[\]=]*"  # numbers, addresses, ids: words with a digit
    r"|(?<=user )\w\S*(?= from| \[)"
    r"|(?<=\s)/\S*"  # paths
    r"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b"
)


@lru_cache(maxsize=4096)
def template_of(message: str) -> str:
    """The message with its variable parts as `<*>`: what records of one kind have in common."""
    return _VARIABLE.sub("<*>", message)


def _record(file: str, line: int, system: str, ts: float, host: str, message: str, **fields: object) -> LogRecord:
    return LogRecord(
        id=f"{file}:{line}", file=file, line=line, ts=ts, key=host, kind=system, message=message,
        template=template_of(message), **fields,  # type: ignore[arg-type]
    )


def continues_kafka(text: str) -> bool:
    """True of a line that is no record's first."""
    return not text.startswith("[20")


def kafka(file: str, line: int, text: str) -> list[AnyEvent]:
    """`[2016-12-19 20:39:48,918] LEVEL text (class)` and the lines up to the next one."""
    head, _, detail = text.partition("\n")
    found = _KAFKA.fullmatch(head)
    if found is None:
        raise ValueError("no record of Kafka starts here")
    time, millis, level, message, component = found.groups()
    host = PurePosixPath(file).parent.name
    return [_record(file, line, "kafka", instant(time) + int(millis) / 1e3, host, message, level=level,
                    component=component or PurePosixPath(file).name.partition(".")[0], detail=detail)]


def apache(file: str, line: int, text: str) -> list[AnyEvent]:
    """`[Sun Dec 04 04:47:44 2005] [level] text`: the web server's error log."""
    found = _APACHE.fullmatch(text)
    if found is None:
        raise ValueError("not in the format of Apache's error log")
    month, day, clock, year, level, message = found.groups()
    ts = instant(f"{year}-{_month(month):02}-{day} {clock}")
    return [_record(file, line, "apache", ts, "apache", message, level=level)]


def hdfs(file: str, line: int, text: str) -> list[AnyEvent]:
    """`081109 203615 148 INFO component: text`."""
    found = _HDFS.fullmatch(text)
    if found is None:
        raise ValueError("not in the format of HDFS")
    year, month, day, hour, minute, second, pid, level, component, message = found.groups()
    ts = instant(f"20{year}-{month}-{day} {hour}:{minute}:{second}")
    return [_record(file, line, "hdfs", ts, "hdfs", message, level=level, component=component, pid=int(pid))]


def zookeeper(file: str, line: int, text: str) -> list[AnyEvent]:
    """`2015-07-29 17:41:44,747 - LEVEL  [thread:class@line] - text`."""
    found = _ZOOKEEPER.fullmatch(text)
    if found is None:
        raise ValueError("not in the format of ZooKeeper")
    time, millis, level, source, _, message = found.groups()
    return [_record(file, line, "zookeeper", instant(time) + int(millis) / 1e3, "zookeeper", message, level=level,
                    component=source.rpartition(":")[2])]


def bgl(file: str, line: int, text: str) -> list[AnyEvent]:
    """`label epoch date node time node type component level text`."""
    found = _BGL.fullmatch(text)
    if found is None:
        raise ValueError("not in the format of BGL")
    label, epoch, node, _, component, level, message = found.groups()
    return [_record(file, line, "bgl", float(epoch), node, message, level=level, component=component,
                    label="" if label == "-" else label)]


class Syslog:
    """`Jun 14 15:16:01 host process[pid]: text`; learns the year along the way."""

    def __init__(self, system: str, first_year: int) -> None:
        self.system = system
        self.year = first_year
        self.month = 0

    def __call__(self, file: str, line: int, text: str) -> list[AnyEvent]:
        found = _SYSLOG.fullmatch(text)
        if found is None:
            raise ValueError("not in the format of syslog")
        name, day, hour, minute, second, host, process, pid, message = found.groups()
        month = _month(name)
        year = year_after(self.year, self.month, month)
        ts = datetime(year, month, int(day), int(hour), int(minute), int(second), tzinfo=UTC).timestamp()
        self.year, self.month = year, month  # a day that does not exist teaches nothing
        return [_record(file, line, self.system, ts, host, message, component=process or "",
                        pid=int(pid) if pid else 0)]


def year_after(year: int, previous: int, month: int) -> int:
    """The year of a record in `month` that follows one in `previous` (0: none) of `year`.

    A month that is far behind belongs to the next year; one far ahead (December after January) is a straggler of
    the year before.
    """
    if not previous:
        return year
    return year + 1 if previous - month > 6 else year - 1 if month - previous > 6 else year


def _month(name: str) -> int:
    try:
        return _MONTHS[name]
    except KeyError:
        raise ValueError(f"no month is called {name}") from None
