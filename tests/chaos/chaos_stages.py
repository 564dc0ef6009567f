"""Functions that the pipelines of the chaos tests call in their workers; a module of its own, for workers import it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import random

import penstock as ps


def with_noise(number: int) -> tuple[int, float]:
    """Something that no second call would give again."""
    return number, random()


def keep(row: tuple[int, float]) -> tuple[int, float]:
    return row


def key_of(row: tuple[int, float]) -> int:
    return row[0] % 5


def as_record(row: tuple[int, float]) -> dict[str, float]:
    return {"number": row[0], "noise": row[1]}


@dataclass(frozen=True)
class NotedBy:
    """A sink function: appends each row's number to a file."""

    path: Path

    def __call__(self, row: tuple[int, float]) -> None:
        with self.path.open("a") as file:
            file.write(f"{row[0]}\n")


@dataclass(frozen=True)
class Long:
    """A row that takes its time, as its number says."""

    least_s: float
    most_s: float

    def __call__(self, number: int) -> int:
        time.sleep(self.least_s + (self.most_s - self.least_s) * (number * 7 % 10) / 9)
        return number


def every_fiftieth_is_bad(number: int) -> int:
    if number % 50 == 17:
        raise ValueError(f"bad row {number}")
    return number


class FailsAtFirst:
    """Raises for a tenth of the rows on their first attempts, however often the worker dies: attempts are files."""

    def __init__(self, folder: Path, failures: int) -> None:
        self._folder = folder
        self._failures = failures

    def __call__(self, number: int) -> int:
        if number % 10 == 3:
            path = self._folder / f"attempts-{number}"
            with path.open("a") as file:
                file.write(".")
            if path.stat().st_size <= self._failures:
                raise ConnectionError(f"row {number} is not ready")
        return number


@dataclass(frozen=True)
class Blown:
    """One row becomes many rows, `total` bytes together."""

    rows: int
    row_bytes: int

    def __call__(self, number: int) -> Iterator[tuple[int, int, bytes]]:
        for part in range(self.rows):
            yield number, part, number.to_bytes(2, "little") * (self.row_bytes // 2)


@dataclass(frozen=True)
class Huge:
    """One row becomes one very large row."""

    size: int

    def __call__(self, number: int) -> bytes:
        return number.to_bytes(2, "little") * (self.size // 2)


def measured(row: bytes) -> tuple[int, int, bool]:
    """What a large row is, in short: its number, its size, and whether it is whole."""
    return int.from_bytes(row[:2], "little"), len(row), row == row[:2] * (len(row) // 2)


def part_measured(row: tuple[int, int, bytes]) -> tuple[int, int, int, bool]:
    number, part, data = row
    return number, part, len(data), data == number.to_bytes(2, "little") * (len(data) // 2)


def one_key(row: tuple[int, int, bytes]) -> str:
    return "the same for all"


@dataclass
class OpensOnlyOnce:
    """Notes when a row is given out; its first life works, later ones fail to open until a file is there."""

    until: Path

    def open(self, context: ps.Context) -> None:
        if context.attempt > 1 and not self.until.exists():
            raise ConnectionError("not yet")  # of those that may pass by themselves

    def __call__(self, number: int) -> tuple[int, float]:
        return number, time.monotonic()


def with_arrival(row: tuple[int, float]) -> tuple[int, float, float]:
    return *row, time.monotonic()


@dataclass(frozen=True)
class Padded:
    """A source function: what another one gives, each in a row of about 1 kB."""

    numbers: Callable[[], Iterator[int]]

    def __call__(self) -> Iterator[tuple[int, str]]:
        for number in self.numbers():
            yield number, str(number).zfill(1000)


@dataclass(frozen=True)
class HeldUntil:
    """A source function: what another one gives, but all after the first row only once a file is there."""

    go: Path
    rows: Callable[[], Iterator[tuple[int, str]]]

    def __call__(self) -> Iterator[tuple[int, str]]:
        rows = self.rows()
        yield next(rows)
        while not self.go.exists():
            time.sleep(0.01)
        yield from rows


def same(row: tuple[int, str]) -> tuple[int, str]:
    return row


@dataclass(frozen=True)
class SlowlyCut:
    """Takes its time, and drops what makes the row large."""

    pause_s: float

    def __call__(self, row: tuple[int, str]) -> int:
        time.sleep(self.pause_s)
        return row[0]


@dataclass(frozen=True)
class Paced:
    """Lets a row through after a while."""

    pause_s: float

    def __call__(self, number: int) -> int:
        time.sleep(self.pause_s)
        return number
