"""The queries as pipelines give what others expect, and what DuckDB gives, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import kill, workers_of
from expected_rows import expected
from nexmark.queries import QUERIES, pipeline
from nexmark.reference import Reference
from result_lines import lines_of

from nexmark import compare

COMPARED = tuple(QUERIES) if os.environ.get("PENSTOCK_NEXMARK") == "all" else (
    "q3", "q5", "q6", "q7", "q8", "q9", "q11", "q12", "q13", "q16", "q19", "q20",
)


@pytest.mark.parametrize("query", sorted(set(QUERIES) - {"q11", "q12", "q13"}))
def test_a_query_gives_the_rows_that_others_expect(small_stream: Path, query: str, tmp_path: Path) -> None:
    pipeline(query, small_stream, tmp_path / "rows.jsonl").run(run_dir=tmp_path / "run", progress=False)
    assert compare.difference(lines_of(query, tmp_path / "rows.jsonl"), expected(query)) is None


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("query", COMPARED)
def test_a_query_gives_what_duckdb_gives(
    stream: Path, reference: Reference, query: str, workers: int, tmp_path: Path
) -> None:
    pipeline(query, stream, tmp_path / "rows.jsonl", workers=workers).run(run_dir=tmp_path / "run", progress=False)
    rows = map(compare.line, reference.rows(query))
    assert compare.difference(lines_of(query, tmp_path / "rows.jsonl"), rows) is None


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
            killed += _kill_a_worker(handle.run_dir, rng)
    handle.wait()
    assert killed
    rows = map(compare.line, reference.rows(query))
    assert compare.difference(lines_of(query, tmp_path / "rows.jsonl"), rows) is None


def _many_restarts(app: Any) -> dict[str, object]:
    return {f"{stage}.max_restarts": "100000/m" for stage in app.plan().stages}


def _kill_a_worker(run_dir: Path, rng: random.Random) -> int:
    """1: one was killed."""
    found = workers_of(run_dir)
    if not found:
        return 0
    kill(rng.choice(found))
    return 1
