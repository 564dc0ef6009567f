"""Reads the reference tables in `tables/`: small CSV files that an analyst can edit."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("tables")


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of `tables/<name>.csv`, in order."""
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def first_year(system: str) -> int:
    """The year in which a system's log starts, for logs that tell no year."""
    for row in table("services"):
        if row["system"] == system and row["first_year"]:
            return int(row["first_year"])
    raise LookupError(f"{_FOLDER / 'services.csv'} tells no first_year of {system}; add it")
