"""What `long_run_pipeline.py` must have written, row by row, against what stands in its sinks when the run is over."""

from __future__ import annotations

import csv
import sys
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from long_run_pipeline import CUSTOMERS, NAME, Entry, LongRun, Order, Seen, as_entry, is_bad, order, visit

import penstock as ps

EXACT, AT_LEAST = "exactly once", "at least once"


@dataclass(frozen=True)
class Found:
    """What a sink holds, against what it should."""

    sink: str
    promise: str
    expected: int
    missing: int
    repeated: int
    wrong: int
    """Rows that nobody sent, whose content differs, or that stand in a wrong place."""

    @property
    def kept(self) -> bool:
        """True: it is what was promised."""
        return not self.missing and not self.wrong and (not self.repeated or self.promise == AT_LEAST)


def everything(run: LongRun, state_dir: Path) -> list[Found]:
    """All sinks, and the dead letters; not the results, which the caller has read."""
    return [
        _count("JSON lines", EXACT, _priced_orders(run), _lines(run.priced, Order)),
        _count("CSV, two workers", EXACT, _entries(run), _csv(run.entries)),
        _count("DuckDB, no key", EXACT, _entries(run), _table(run.database, "entries")),
        _upserts(run),
        _hashed(run),
        _in_order(run),
        _noted(run),
        _dead_letters(run, state_dir),
    ]


def _count(sink: str, promise: str, expected: dict[Any, Any], rows: Iterable[Any], key: Any = None) -> Found:
    """Each row by its name; `expected` is used up on the way."""
    total, repeated, wrong, seen = len(expected), 0, 0, set()
    for row in rows:
        name = (getattr(row, "kind", ""), row.id) if key is None else key(row)
        if name in seen:
            repeated += 1
        elif name in expected:
            seen.add(name)
            wrong += expected.pop(name) != row
        else:
            wrong += 1
    return Found(sink, promise, total, len(expected), repeated, wrong)


def _priced_orders(run: LongRun) -> dict[Any, Order]:
    return {("", number): order(number) for number in range(run.orders) if not is_bad(number)}


def _entries(run: LongRun) -> dict[Any, Entry]:
    entries = [as_entry(order(number)) for number in range(run.orders) if not is_bad(number)]
    entries += [as_entry(visit(number)) for number in range(run.visits)]
    return {(entry.kind, entry.id): entry for entry in entries}


def _lines(path: Path, kind: type[Any]) -> Iterator[Any]:
    decode = msgspec.json.Decoder(kind).decode
    with path.open("rb") as file:
        yield from map(decode, file)


def _csv(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob("part-*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                yield Entry(row["kind"], int(row["id"]), int(row["cents"]), row["text"])


def _table(database: Path, table: str) -> Iterator[Entry]:
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        cursor = connection.execute(f"SELECT kind, id, cents, text FROM {table}")
        while rows := cursor.fetchmany(10_000):
            for row in rows:
                yield Entry(*row)


def _upserts(run: LongRun) -> Found:
    """One row for each customer: that of the last order, since one worker after the other keeps a key's order."""
    import duckdb

    expected = {number * 7_919 % CUSTOMERS: number for number in range(run.orders)}
    with duckdb.connect(str(run.database), read_only=True) as connection:
        rows = connection.execute("SELECT customer, id, cents FROM latest").fetchall()
    wrong = sum(expected.get(customer) != number or cents != order(number).cents for customer, number, cents in rows)
    names = [customer for customer, _, _ in rows]
    return Found(
        "DuckDB, by key", EXACT, len(expected), len(expected.keys() - set(names)), len(names) - len(set(names)), wrong
    )


def _hashed(run: LongRun) -> Found:
    """Behind the hash-partitioned stage: each order once, a customer's in their order and from one slot."""
    times = bytearray(run.orders)
    last: dict[int, tuple[int, int]] = {}
    wrong = 0
    for row in _lines(run.seen, Seen):
        times[row.id] += 1
        slot, before = last.get(row.customer, (row.slot, -1))
        sent = order(row.id)
        wrong += slot != row.slot or before >= row.id or (sent.customer, sent.cents) != (row.customer, row.cents)
        last[row.customer] = row.slot, row.id
    return Found("JSON lines, by hash", EXACT, run.orders, times.count(0), sum(n - 1 for n in times if n), wrong)


def _in_order(run: LongRun) -> Found:
    """Behind the ordered stage: all of them, in the order of the source, over all files."""
    import pyarrow.parquet as parquet

    times = bytearray(run.orders)
    wrong, last = 0, -1
    for path in sorted(run.ordered.glob("part-*.parquet"), key=lambda path: int(path.stem.rpartition("-")[2])):
        for row in parquet.read_table(path).to_pylist():
            times[row["id"]] += 1
            wrong += row["id"] <= last or Order(**row) != order(row["id"])
            last = row["id"]
    return Found("Parquet, in order", EXACT, run.orders, times.count(0), sum(n - 1 for n in times if n), wrong)


def _noted(run: LongRun) -> Found:
    numbers = array("Q")
    data = run.noted.read_bytes()
    numbers.frombytes(data[: len(data) // 8 * 8])
    expected = {number * 2 for number in range(run.orders) if not is_bad(number)}
    expected |= {number * 2 + 1 for number in range(run.visits)}
    seen = set(numbers)
    return Found(
        "a function", AT_LEAST, len(expected), len(expected - seen), len(numbers) - len(seen), len(seen - expected)
    )


def _dead_letters(run: LongRun, state_dir: Path) -> Found:
    """The orders that always raise, each once, with their own error; whoever else is there was blamed in vain."""
    letters = list(ps.read_dead_letters(NAME, state_dir=state_dir))
    for letter in letters:
        if not is_bad(letter.row.id) or "has no price" not in letter.error:
            print(f"set aside for no reason: {letter}", file=sys.stderr)
    expected = {number: (number, "price") for number in range(run.orders) if is_bad(number)}
    told = [_Told(letter.row.id, letter.stage, letter.error) for letter in letters]
    return _count("dead letters", EXACT, expected, told, key=lambda row: row.id)


@dataclass(frozen=True, eq=False)
class _Told:
    id: int
    stage: str
    error: str

    def __eq__(self, other: object) -> bool:
        return other == (self.id, self.stage) and self.error == f"ValueError: order {self.id} has no price"
