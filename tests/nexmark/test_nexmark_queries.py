"""The queries as pipelines give what others expect, and what DuckDB gives, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from expected_rows import expected
from nexmark.generator import write
from nexmark.queries import QUERIES, pipeline, results
from nexmark.reference import Reference

from nexmark import compare

COMPARED = ("q3", "q5", "q6", "q7", "q8", "q9", "q11", "q12", "q13", "q16", "q19", "q20")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough for several windows of ten seconds."""
    path = tmp_path_factory.mktemp("stream") / "events.jsonl"
    write(path, 30_000, events_per_s=1000)
    return path


@pytest.fixture(scope="module")
def reference(stream: Path) -> Reference:
    return Reference(stream)


def _lines(query: str, output: Path) -> list[str]:
    rows = results(query, output)
    return list(map(compare.line, _by_bidder(rows) if query == "q12" else rows))


def _by_bidder(rows: Iterable[list[Any]]) -> Iterable[tuple[int, int]]:
    """Which bid is in which window depends on the clock; all of them together are all bids, each of them once."""
    counts: Counter[int] = Counter()
    windows = set()
    for bidder, count, start, end in rows:
        assert (end - start).total_seconds() == 10 and (bidder, start) not in windows
        windows.add((bidder, start))
        counts[bidder] += count
    return counts.items()


@pytest.mark.parametrize("query", sorted(set(QUERIES) - {"q11", "q12", "q13"}))
def test_a_query_gives_the_rows_that_others_expect(small_stream: Path, query: str, tmp_path: Path) -> None:
    pipeline(query, small_stream, tmp_path / "rows.jsonl").run(run_dir=tmp_path / "run", progress=False)
    assert compare.difference(_lines(query, tmp_path / "rows.jsonl"), expected(query)) is None


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("query", COMPARED)
def test_a_query_gives_what_duckdb_gives(
    stream: Path, reference: Reference, query: str, workers: int, tmp_path: Path
) -> None:
    pipeline(query, stream, tmp_path / "rows.jsonl", workers=workers).run(run_dir=tmp_path / "run", progress=False)
    rows = map(compare.line, reference.rows(query))
    assert compare.difference(_lines(query, tmp_path / "rows.jsonl"), rows) is None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("query", COMPARED)
def test_a_query_gives_the_same_when_workers_are_killed(
    stream: Path, reference: Reference, query: str, tmp_path: Path
) -> None:
    app, rng = pipeline(query, stream, tmp_path / "rows.jsonl"), random.Random(query)
    handle = app.start(run_dir=tmp_path / "run", settings=_many_restarts(app))
    killed = 0
    while killed < 30:
        try:
            # The first one as soon as there is a worker: the whole run may take less than a second.
            handle.wait(timeout=rng.uniform(0.05, 0.3) if killed else 0.002)
            break
        except TimeoutError:
            killed += _kill_a_worker(handle.supervisor_pid, rng)
    handle.wait()
    assert killed
    rows = map(compare.line, reference.rows(query))
    assert compare.difference(_lines(query, tmp_path / "rows.jsonl"), rows) is None


def _many_restarts(app: Any) -> dict[str, object]:
    return {f"{stage}.max_restarts": "100000/m" for stage in app.plan().stages}


def _kill_a_worker(supervisor: int, rng: random.Random) -> int:
    """1: one was killed. Workers are the children of the zygote, which is the supervisor's."""
    found = [worker for zygote in _children(supervisor) for worker in _children(zygote)]
    if not found:
        return 0
    try:
        os.kill(rng.choice(found), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def _children(pid: int) -> list[int]:
    try:
        tasks = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        return [int(child) for task in tasks for child in task.read_text().split()]
    except FileNotFoundError:
        return []
