"""The queries give the same when they are stopped and resumed with other numbers of workers, killed in between."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from nexmark.generator import write
from nexmark.queries import pipeline, results
from nexmark.reference import Reference
from test_nexmark_queries import _kill_a_worker, _many_restarts

from nexmark import compare


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "events.jsonl"
    write(path, 60_000, events_per_s=1000)
    return path


@pytest.fixture(scope="module")
def reference(stream: Path) -> Reference:
    return Reference(stream)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("query", ["q3", "q5", "q8", "q11", "q20"])
def test_a_query_is_resumed_with_another_number_of_workers(
    stream: Path, reference: Reference, query: str, tmp_path: Path
) -> None:
    rng, resumed = random.Random(query), 0
    where = {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}
    for workers in (1, 3, 2, 4, 1, 3):
        app = pipeline(query, stream, tmp_path / "rows.jsonl", workers=workers)
        handle = app.start(settings=_many_restarts(app), **where)
        resumed += handle.status().resumed is not None
        try:
            handle.wait(timeout=rng.uniform(0.1, 0.4))
            break
        except TimeoutError:
            _kill_a_worker(handle.supervisor_pid, rng)
        report = rng.choice((handle.stop, handle.drain))()
        if not report.resumes:
            break
    else:
        app = pipeline(query, stream, tmp_path / "rows.jsonl", workers=2)
        assert app.run(settings=_many_restarts(app), progress=False, **where).outcome == "finished"
    assert resumed
    rows = map(compare.line, reference.rows(query))
    assert compare.difference(list(map(compare.line, results(query, tmp_path / "rows.jsonl"))), rows) is None
