"""The pipeline that the chaos tests run: every way for rows to travel, random output, every kind of sink.

    numbers -> noisy -+-> keyed (hash) ------> kept rows, by key
                      +-> everywhere (broadcast)
                      +-> both (merge) <- words ----> DuckDB with and without key, JSON lines
    numbers -> in_order (ordered)

A module of its own, for workers import it; as a program it is the caller that tests kill.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from chaos_harness import Collected, CountedUntil, for_chaos

import penstock as ps
from penstock.connectors import duckdb, files
from penstock.plan.plan import Plan

WORDS = [f"word-{n}" for n in range(5_000)]
KEYS = 7
SMALL_BYTES = 64 * 1024
EDGE = ps.Edge(batch_rows=64, linger="1ms")


class Noisy(msgspec.Struct):
    """A number with what no second call would give again."""

    number: int
    noise: float


class Named(msgspec.Struct):
    """What the sinks of the merged branch store."""

    name: str
    copy: int
    noise: float
    id: str


def add_noise(number: int) -> Noisy:
    return Noisy(number, random.random())


def key_of(row: Noisy) -> int:
    return row.number % KEYS


class WithSlot:
    """Adds who did it."""

    def open(self, context: ps.Context) -> None:
        self.slot = context.slot

    def __call__(self, row: Noisy) -> tuple[int, float, int]:
        return row.number, row.noise, self.slot


def twice(row: Noisy | str) -> Iterator[Named]:
    name, noise = (row, random.random()) if isinstance(row, str) else (f"number-{row.number}", row.noise)
    for copy in range(2):
        yield Named(name, copy, noise, f"{name}/{copy}")


@dataclass(frozen=True)
class Mill:
    """The pipeline and where its results are."""

    name: str
    folder: Path

    @property
    def enough(self) -> Path:
        return self.folder / "enough"

    @property
    def database(self) -> Path:
        return self.folder / "mill.duckdb"

    @property
    def lines(self) -> Path:
        return self.folder / "mill.jsonl"

    def collected(self, name: str) -> Collected:
        return Collected(self.folder, name)

    def pipeline(self) -> ps.Pipeline:
        app = ps.Pipeline(self.name)
        numbers = app.source(CountedUntil(self.enough), name="numbers")
        words = app.source(WORDS, name="words", workers=2)
        noisy = numbers.stage("noisy", workers=2, edge=EDGE).map(add_noise)
        keyed = noisy.stage("keyed", workers=2, edge=EDGE).key_by(key_of).map(WithSlot)
        keyed.sink(self.collected("by_key"), edge=EDGE)
        everywhere = noisy.stage("everywhere", workers=2, edge=EDGE).broadcast().map(WithSlot)
        everywhere.sink(self.collected("by_all"), workers=2, edge=EDGE)
        both = noisy.merge(words).stage("both", workers=2, edge=EDGE).flat_map(twice)
        both.sink(duckdb.table(self.database, "plain", if_exists="overwrite"), name="plain", edge=EDGE)
        both.sink(
            duckdb.table(self.database, "keyed", key="id", if_exists="overwrite"), name="upserted", edge=EDGE
        )
        both.sink(files.json_lines(self.lines, if_exists="overwrite"), name="lines", edge=EDGE)
        in_order = numbers.stage("in_order", workers=2, ordered=True, edge=EDGE).map(add_noise)
        in_order.sink(self.collected("ordered"), edge=EDGE)
        return app

    def plan(self) -> Plan:
        return for_chaos(self.pipeline().plan(), SMALL_BYTES)

    # What must hold afterwards.

    def assert_exact(self, report: ps.Report) -> None:
        """Every row once, in every sink."""
        assert report.outcome == "finished"
        assert report.dead_letters == 0
        assert report.undelivered_rows == 0
        total = report.stages["numbers"].rows_in
        noise = self._assert_keyed(total)
        self._assert_everywhere(noise)
        self._assert_in_order(total)
        self._assert_both(noise)

    def _assert_keyed(self, total: int) -> dict[int, float]:
        rows = self.collected("by_key").rows()
        assert sorted(number for number, _, _ in rows) == list(range(total))
        assert len({(number % KEYS, slot) for number, _, slot in rows}) == min(KEYS, total)
        return {number: noise for number, noise, _ in rows}

    def _assert_everywhere(self, noise: dict[int, float]) -> None:
        rows = sorted((number, slot, value) for number, value, slot in self.collected("by_all").rows())
        assert rows == sorted((number, slot, value) for number, value in noise.items() for slot in range(2))

    def _assert_in_order(self, total: int) -> None:
        assert [row["number"] for row in self.collected("ordered").rows()] == list(range(total))

    def _assert_both(self, noise: dict[int, float]) -> None:
        lines = [msgspec.json.decode(line) for line in self.lines.read_bytes().splitlines()]
        told = sorted((line["id"], line["noise"]) for line in lines)
        expected = {f"number-{number}/{copy}" for number in noise for copy in range(2)}
        expected |= {f"{word}/{copy}" for word in WORDS for copy in range(2)}
        assert [row_id for row_id, _ in told] == sorted(expected)
        assert all(noise[int(i.split("/")[0][7:])] == value for i, value in told if i.startswith("number-"))
        assert sorted(self._stored("plain")) == told
        assert sorted(self._stored("keyed")) == told

    def _stored(self, table: str) -> list[Any]:
        import duckdb as database

        with database.connect(str(self.database), read_only=True) as connection:
            return connection.execute(f"SELECT id, noise FROM {table}").fetchall()


if __name__ == "__main__":
    from penstock.engine import engine

    started = engine.start(Mill(sys.argv[1], Path(sys.argv[2])).plan(), state_dir=sys.argv[3])
    print(started.run_dir, flush=True)
    started.wait()
