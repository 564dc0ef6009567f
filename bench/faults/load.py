"""The pipeline that `recovery.py` kills workers of: JSON lines, parsed, normalised, scored, written as JSON lines."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from pathlib import Path

import msgspec

import penstock as ps
from penstock.connectors import files

ROWS = 100_000
"""In one copy of the input."""
COPIES = 100
MIB = 1 << 20


class Event(msgspec.Struct, gc=False):
    """A line of the input."""

    id: int
    user: str
    url: str
    status: int
    ms: float


class Visit(msgspec.Struct, gc=False):
    """What is made of it."""

    id: int
    user: str
    page: str
    ms: float


class Scored(msgspec.Struct, gc=False):
    """What is written."""

    id: int
    user: str
    score: float


def normalise(event: Event) -> Visit:
    return Visit(event.id, event.user.strip().lower(), event.url.partition("?")[0], max(event.ms, 0.0))


class Score:
    """Has as much memory of its own as it is told."""

    def __init__(self, ballast_mib: int) -> None:
        self._ballast_mib = ballast_mib
        self._ballast = b""

    def open(self, context: ps.Context) -> None:
        self._ballast = b"\xff" * (self._ballast_mib * MIB)

    def __call__(self, visit: Visit) -> Scored:
        return Scored(visit.id, visit.user, math.log1p(visit.ms) * len(visit.page))


def make_input(folder: Path) -> None:
    """One copy, about 20 MB."""
    with (folder / "input.jsonl").open("w") as file:
        for number in range(ROWS):
            event = {
                "id": number, "user": f"  User{number % 997} ", "url": f"https://example.org/{'x' * (number % 60)}?q=1",
                "status": 200, "ms": number % 1000 / 7, "agent": "a browser of some kind, as ever", "tags": ["a", "b"],
            }
            file.write(json.dumps(event) + "\n")


def pipeline(folder: Path, copies: int, *, ballast_mib: int = 0) -> ps.Pipeline:
    """Four stages of one worker each."""
    app = ps.Pipeline("bench-recovery")
    lines = app.source(files.lines(_copies(folder, copies)), name="read", max_restarts="1000000/s")
    visits = lines.parse_json(Event).stage("normalise", max_restarts="1000000/s").map(normalise)
    scored = visits.stage("score", max_restarts="1000000/s").map(Score(ballast_mib))
    scored.sink(
        files.json_lines(folder / "out.jsonl", Scored, if_exists="overwrite"), name="write", max_restarts="1000000/s"
    )
    return app


def _copies(folder: Path, copies: int) -> list[str]:
    names = []
    for number in range(copies):
        copy = folder / f"input-{number:03d}.jsonl"
        if not copy.exists():
            os.link(folder / "input.jsonl", copy)
        names.append(str(copy))
    return names


def check_all(folder: Path, copies: int) -> None:
    """Every row of every copy, once."""
    seen = _ids(folder)
    wrong = [number for number in range(ROWS) if seen[number] != copies]
    assert not wrong, f"{len(wrong)} rows are not there {copies} times: {wrong[:5]}"


def check_prefix(folder: Path) -> None:
    """A run that was cut short: some copies in full, and one up to a row, in whatever order the files were read."""
    seen = _ids(folder)
    counts = [seen[number] for number in range(ROWS)]
    assert counts == sorted(counts, reverse=True) and counts[0] - counts[-1] <= 1, "rows are missing or there twice"


def _ids(folder: Path) -> Counter[int]:
    decode = msgspec.json.Decoder(Scored).decode
    with (folder / "out.jsonl").open("rb") as file:
        return Counter(decode(line).id for line in file)
