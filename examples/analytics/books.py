"""Checks the books of a finished run: every line that was read is stored, a dead letter, or left out by a stated rule.

Three witnesses are compared: the files themselves (where they were read whole), the accounts that `normalize` wrote,
and what lies in the database and among the dead letters. A line lost or stored twice by anybody shows here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import penstock as ps
from analytics.events import Malformed, Unit
from analytics.ingest import lines_of

TABLES = ("clicks", "readings", "ticks", "logs", "rates")


@dataclass
class Fates:
    """What became of lines; sums of accounts."""

    read: int = 0
    stored: int = 0
    malformed: int = 0
    duplicate: int = 0
    continuation: int = 0
    control: int = 0
    events: int = 0
    repeated: int = 0

    def add(self, other: Fates) -> None:
        """Adds up."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def accounted(self) -> int:
        """Lines with a fate."""
        return self.stored + self.malformed + self.duplicate + self.continuation + self.control


@dataclass
class Books:
    """The outcome of the check."""

    files: dict[str, Fates] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    """Everything that does not add up; empty: all lines are accounted for."""

    def total(self, folder: str) -> Fates:
        """Over all files below a folder."""
        total = Fates()
        for file, fates in self.files.items():
            if file.startswith(folder):
                total.add(fates)
        return total


def check_books(database: Path, letters: Iterable[ps.DeadLetter], units: Iterable[Unit] | None) -> Books:
    """The books of a run. `units`: what was read whole, each file once; None for a live run."""
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        accounts = _rows(connection, _ACCOUNTS)
        stored = {row["file"]: row for table in TABLES if _exists(connection, table)
                  for row in _rows(connection, _STORED.format(table=table))}
    dead = _dead_lines(letters)
    books = Books()
    for account in accounts:
        fates = Fates(**{one.name: int(account[one.name]) for one in fields(Fates)})
        books.files[account["file"]] = fates
        here = stored.pop(account["file"], _NOTHING)
        books.errors += _differences(account, fates, here, dead.pop(account["file"], 0))
    books.errors += [f"{file}: stored, but no account speaks of it" for file in stored]
    books.errors += [f"{file}: {lines} dead lines, but no account speaks of them" for file, lines in dead.items()]
    if units is not None:
        books.errors += _unread(books, units)
    return books


_ACCOUNTS = """
    SELECT file, sum(read) AS read, sum(stored) AS stored, sum(malformed) AS malformed, sum(duplicate) AS duplicate,
           sum(continuation) AS continuation, sum(control) AS control, sum(events) AS events,
           sum(repeated) AS repeated, min(first) AS begins, max(first + read) - 1 AS ends,
           count(*) - count(DISTINCT first) AS twice
    FROM accounts GROUP BY file ORDER BY file
"""
_STORED = """
    SELECT file, count(*) AS events, count(DISTINCT id) AS ids, count(DISTINCT line) AS lines
    FROM {table} GROUP BY file
"""
_NOTHING: Mapping[str, Any] = {"events": 0, "ids": 0, "lines": 0}


def _differences(account: Mapping[str, Any], fates: Fates, stored: Mapping[str, Any], dead: int) -> list[str]:
    """What does not add up about one file."""
    lines = account["ends"] - account["begins"] + 1
    claims = (
        ("stretches accounted for twice", 0, account["twice"]),
        ("first line read", 1, account["begins"]),
        ("lines from the first to the last, and lines read", lines, fates.read),
        ("lines read, and lines with a fate", fates.read, fates.accounted),
        ("lines stored by the account, and in the database", fates.stored, stored["lines"]),
        ("events by the account, and in the database", fates.events, stored["events"]),
        ("events in the database, and their ids", stored["events"], stored["ids"]),
        ("malformed lines by the account, and dead letters", fates.malformed, dead),
    )
    return [f"{account['file']}: {what}: {one} is not {other}" for what, one, other in claims if one != other]


def _unread(books: Books, units: Iterable[Unit]) -> list[str]:
    errors = []
    for unit in units:
        for file in unit.files:
            there = len(lines_of(Path(unit.root, file)))
            read = books.files[file].read if file in books.files else 0
            if there != read:
                errors.append(f"{file}: has {there} lines, {read} were read")
    return errors


def _dead_lines(letters: Iterable[ps.DeadLetter]) -> Counter[str]:
    lines: Counter[str] = Counter()
    for letter in letters:
        if isinstance(letter.row, Malformed):
            lines[letter.row.file] += letter.row.lines
        else:
            lines[f"stage {letter.stage}: {letter.error}"] += 1
    return lines


def _exists(connection: Any, table: str) -> bool:
    found = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = ?", [table]).fetchone()
    return bool(found[0])


def _rows(connection: Any, query: str) -> list[dict[str, Any]]:
    """The result as one dictionary a row."""
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
