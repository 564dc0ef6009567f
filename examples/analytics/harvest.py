"""Runs a format's parser over a stretch and accounts for every line; all normalizers use it, nothing else counts.

A parser is called with one record (usually one line) and gives its events. No event: a control line. An exception:
the line is malformed and goes to the dead letters with that reason; so does a line whose event is not `sound`. The
parser decides; this module only keeps books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from analytics.events import Account, AnyEvent, Malformed, Normal, Part, Stretch
from analytics.sound import check

Parser: TypeAlias = Callable[[str, int, str], Iterable[AnyEvent]]
"""Takes a file's name, a line number and the record there (never empty); may keep what it learns along the way."""


@dataclass(frozen=True)
class Format:
    """How lines become records and records events."""

    parser: Callable[[], Parser]
    """Makes the parser of one stretch."""
    header: str = ""
    """How line 1 begins where it names the columns; a first line that begins otherwise is a record."""
    repeats: bool = False
    """Its events have ids of their own, which may come again."""
    continues: Callable[[str], bool] | None = None
    """Says of a line that it belongs to the record before it."""


@dataclass
class _Record:
    line: int
    text: str
    lines: int = 1
    context: bool = False


def harvest(stretch: Stretch, format: Format) -> Iterator[Normal | Malformed | Account]:
    """The events of a stretch as one `Normal`, its malformed lines, and an account of each of its files."""
    parser = format.parser()
    normal = Normal([])
    seen = set(stretch.known)
    ahead = stretch.context
    for part in stretch.parts:
        skip = min(ahead, len(part.lines))
        ahead -= skip
        account = Account(part.file, part.first + skip, len(part.lines) - skip)
        for record in _records(part, skip, format, account):
            try:
                found = accepted(parser, part.file, record.line, record.text)
            except Exception as error:  # whatever it is, it is this line's: its neighbours must not pay for it
                if not record.context:
                    account.malformed += record.lines
                    yield Malformed(part.file, record.line, record.lines, record.text, _reason(error))
                continue
            fresh = [event for event in found if event.id not in seen]
            seen.update(event.id for event in fresh)
            normal.events += fresh
            if record.context:
                normal.context += len(fresh)
            else:
                _book(account, record, len(found), len(fresh))
        if account.read:
            yield account
    if len(normal.events) > normal.context:
        yield normal


def accepted(parser: Parser, file: str, line: int, text: str) -> list[AnyEvent]:
    """The events of a record; raises where it is malformed."""
    found = list(parser(file, line, text))
    for event in found:
        check(event)
    return found


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else repr(error)


def _book(account: Account, record: _Record, found: int, fresh: int) -> None:
    account.events += fresh
    account.repeated += found - fresh
    if fresh:
        account.stored += 1
        account.continuation += record.lines - 1
    elif found:
        account.duplicate += record.lines
    else:
        account.control += record.lines


def _records(part: Part, skip: int, format: Format, account: Account) -> Iterator[_Record]:
    """Records of a part; empty lines and the header are booked here."""
    record: _Record | None = None
    fresh_from = part.first + skip
    for number, text in enumerate(part.lines, part.first):
        if not text or (format.header and number == 1 and text.startswith(format.header)):
            account.control += number >= fresh_from
        elif record is not None and format.continues is not None and format.continues(text):
            record.text += "\n" + text
            if record.context and number >= fresh_from:  # the context has the head: its event is an earlier stretch's
                account.continuation += 1
            else:
                record.lines += 1
        else:
            if record is not None:
                yield record
            record = _Record(number, text, context=number < fresh_from)
    if record is not None:
        yield record

