"""A query of Nexmark in one go by DuckDB, from the same file of events to CSV: reading, and the query by itself.

    python bench/nexmark/batch.py q5 EVENTS OUTPUT
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure

from nexmark.reference import QUERIES, Reference

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("query", choices=QUERIES)
    parser.add_argument("events", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    reference, read_s, read_cpu_s = _timed(lambda: Reference(given.events))
    _, query_s, query_cpu_s = _timed(lambda: reference.write(given.query, given.output))
    measure.result(
        read_s=round(read_s, 3), read_cpu_s=round(read_cpu_s, 3), query_s=round(query_s, 3),
        query_cpu_s=round(query_cpu_s, 3), total_s=round(read_s + query_s, 3),
    )


def _timed(call: Callable[[], T]) -> tuple[T, float, float]:
    """With the time that passed, and that of processors, all threads together."""
    began, used = time.monotonic(), time.process_time()
    found = call()
    return found, time.monotonic() - began, time.process_time() - used


if __name__ == "__main__":
    main()
