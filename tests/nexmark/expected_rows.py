"""What the queries give over the small stream, as others say."""

from __future__ import annotations

from pathlib import Path


def expected(query: str) -> list[str]:
    """The rows of a query such as "q3"."""
    name = "q6_group_top1" if query == "q6" else query
    return (Path(__file__).parent / "expected" / f"{name}.txt").read_text().splitlines()
