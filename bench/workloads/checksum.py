"""A checksum of what w2 gave, whatever the order of rows and the form of the file.

    python bench/workloads/checksum.py FILE_OR_DIRECTORY ...

Every field of every row counts, the score in millionths.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from workloads import events, functions

FIELDS = (
    "id", "session", "ts", "user", "path", "ref", "country", "dur_ms", "agent", "segment", "home", "weight",
)  # fmt: skip


@dataclass(frozen=True)
class Checksum:
    """Rows, distinct rows, and the sum over the rows of each one's crc32."""

    rows: int
    distinct: int
    total: int

    def __str__(self) -> str:
        return f"{self.rows} rows, {self.distinct} distinct, {self.total:012x}"


def of_rows(rows: Iterable[Mapping[str, Any]]) -> Checksum:
    """The checksum of rows."""
    count = total = 0
    seen = set()
    for row in rows:
        text = "|".join([str(row[name]) for name in FIELDS]) + f"|{round(row['score'] * 1e6)}"
        total += zlib.crc32(text.encode())
        seen.add(row["id"])
        count += 1
    return Checksum(count, len(seen), total)


def of_output(path: Path) -> Checksum:
    """The checksum of a file, or of all files below a directory."""
    return of_rows(_rows_of(path))


def expected(rows: int) -> Checksum:
    """What comes out of the first so many events."""
    return of_rows(map(functions.all_of_it, events.lines(rows)))


def _rows_of(path: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.suffix == ".parquet":
            import pyarrow.parquet

            yield from pyarrow.parquet.read_table(file).to_pylist()
        elif file.is_file():
            with file.open("rb") as lines:
                for line in lines:
                    row = functions.parse(line)
                    if "eid" in row:  # of a peer that keeps the name `id` for itself
                        row["id"] = row.pop("eid")
                    yield row


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {of_output(Path(name))}")
