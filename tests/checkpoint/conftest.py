"""One store after the other, for what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.checkpoint.directory_store import DirectoryStore
from penstock.checkpoint.memory_store import MemoryStore
from penstock.checkpoint.store import CheckpointStore

MakeStore = Callable[..., CheckpointStore]


def _memory() -> MakeStore:
    files: dict[str, dict[str, bytes]] = {}
    return lambda pipeline="clicks": MemoryStore(files.setdefault(pipeline, {}))


@pytest.fixture(params=["memory", "directory"])
def make_store(request: pytest.FixtureRequest, tmp_path) -> MakeStore:
    """Opens one and the same store again and again, for the pipeline `clicks` unless another one is named."""
    match request.param:
        case "memory":
            return _memory()
        case _:
            return lambda pipeline="clicks": DirectoryStore(tmp_path / "store", pipeline)
