"""Rows into a PostgreSQL table: `postgres.table` beside plain loops over psycopg, in turns, on one server.

    python bench/postgres_copy.py "host=/run/postgresql dbname=postgres"
    python bench/postgres_copy.py DSN --rows 50000 --rounds 3

Makes and drops tables named `penstock_bench_*`. The writer is called as a worker calls it, without the pipeline before
it: 1,000 rows a batch, 50,000 a commit, rows and record in one transaction.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from measure import machine, table

from penstock.connectors import postgres
from penstock.operator import Context

COMMIT = 50_000
BATCH = 1_000
CREATE = (
    "CREATE TABLE {} (id bigint{}, name text NOT NULL, ms double precision NOT NULL, at timestamptz NOT NULL, "
    "ok boolean NOT NULL, note text)"
)
TYPES = ("int8", "text", "float8", "timestamptz", "bool", "text")


class Visit(msgspec.Struct):
    id: int
    name: str
    ms: float
    at: datetime.datetime
    ok: bool
    note: str | None = None


def visits(count: int) -> list[Visit]:
    at = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
    step = datetime.timedelta(milliseconds=7)
    return [
        Visit(n, f"visitor-{n * 7919 % 10_007}", n / 7, at + n * step, n % 3 == 0, None if n % 2 else f"note {n}")
        for n in range(count)
    ]


def fields(row: Visit) -> tuple[Any, ...]:
    return row.id, row.name, row.ms, row.at, row.ok, row.note


def bare(connection: Any, name: str, rows: list[Visit], *, binary: bool) -> None:
    command = f"COPY {name} FROM STDIN{' (FORMAT BINARY)' if binary else ''}"
    for start in range(0, len(rows), COMMIT):
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(command) as copy:
            if binary:
                copy.set_types(TYPES)
            for row in rows[start : start + COMMIT]:
                copy.write_row(fields(row))


def bare_upsert(connection: Any, name: str, rows: list[Visit]) -> None:
    for start in range(0, len(rows), COMMIT):
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE staged (LIKE {name}) ON COMMIT DROP")
            with cursor.copy("COPY staged FROM STDIN") as copy:
                for row in rows[start : start + COMMIT]:
                    copy.write_row(fields(row))
            cursor.execute(
                f"INSERT INTO {name} SELECT * FROM staged ON CONFLICT (id) DO UPDATE SET name = excluded.name, "
                "ms = excluded.ms, at = excluded.at, ok = excluded.ok, note = excluded.note"
            )


def by_writer(dsn: str, name: str, rows: list[Visit], key: str | None) -> None:
    context = Context(pipeline="bench", stage="store", slot=0, workers=1, attempt=1, run_id=f"bench {time.time_ns()}")
    writer: Any = postgres.table(dsn, name, Visit, key=key, if_exists="append").writer(None, context)
    for start in range(0, len(rows), COMMIT):
        for first in range(start, min(start + COMMIT, len(rows)), BATCH):
            writer.write(rows[first : min(first + BATCH, start + COMMIT)])
        writer.commit(b"%d" % start)
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = visits(given.rows)
    with psycopg.connect(given.dsn, autocommit=True) as connection:
        ways: dict[str, tuple[str, Callable[[str], None]]] = {
            "bare COPY, text": ("", lambda name: bare(connection, name, rows, binary=False)),
            "bare COPY, binary": ("", lambda name: bare(connection, name, rows, binary=True)),
            "`postgres.table`": ("", lambda name: by_writer(given.dsn, name, rows, None)),
            "bare COPY and upsert": (" PRIMARY KEY", lambda name: bare_upsert(connection, name, rows)),
            "`postgres.table`, key": (" PRIMARY KEY", lambda name: by_writer(given.dsn, name, rows, "id")),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        used: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, (key, write) in ways.items():
                name = "penstock_bench_visits"
                connection.execute(f"DROP TABLE IF EXISTS {name}")
                connection.execute(CREATE.format(name, key))
                began, cpu = time.perf_counter(), time.process_time()
                write(name)
                rates[way].append(len(rows) / (time.perf_counter() - began))
                used[way].append((time.process_time() - cpu) / len(rows) * 1e6)
                [(count,)] = connection.execute(f"SELECT count(*) FROM {name}").fetchall()
                assert count == len(rows)
                connection.execute(f"DROP TABLE {name}")
    print(table(["way", "rows/s, median (min..max)", "client's processor, µs/row"], [
        [way, f"{statistics.median(found):,.0f} ({min(found):,.0f}..{max(found):,.0f})",
         f"{statistics.median(used[way]):.2f}"]
        for way, found in rates.items()
    ]))
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
