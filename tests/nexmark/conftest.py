"""The benchmark's events, queries and reference are scripts beside the package; who kills is in the chaos tests."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2] / "bench"), str(Path(__file__).parents[1] / "chaos")]

from nexmark.generator import write  # noqa: E402
from nexmark.reference import Reference  # noqa: E402

_INPUT = Path(__file__).parent / "input"


@pytest.fixture(scope="session")
def small_stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input of the expected results, as the generator would have written it."""
    path = tmp_path_factory.mktemp("nexmark") / "events.jsonl"
    events = [
        {"type": kind, **json.loads(line)}
        for kind in ("person", "auction", "bid") for line in (_INPUT / f"{kind}.jsonl").open()
    ]
    for event in events:
        for name in ("date_time", "expires"):
            if name in event:
                event[name] = round(datetime.fromisoformat(f"{event[name]}+00:00").timestamp() * 1000)
    events.sort(key=lambda event: int(event["date_time"]))
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough for several windows of ten seconds."""
    path = tmp_path_factory.mktemp("stream") / "events.jsonl"
    write(path, 30_000, events_per_s=1000)
    return path


@pytest.fixture(scope="session")
def reference(stream: Path) -> Reference:
    return Reference(stream)
