"""A sink over a server that only prepares and commits: real workers, which are killed between the two."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.engine import engine
from penstock.operator import Context
from penstock.sink import Sink, TwoPhaseWriter
from penstock.slot.records.life import Crash

pytestmark = pytest.mark.timeout(300)


class FolderServer(Sink[Any]):
    """A server that outlives workers: prepared transactions and committed ones are files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def target(self) -> str:
        return str(self.folder)

    @property
    def waits_for_checkpoint(self) -> bool:
        return True

    def at_checkpoint(self) -> FolderServer:
        return self

    def writer(self, position: Any, context: Context) -> TwoPhaseWriter[Any]:
        return _Writer(self.folder)


class _Writer(TwoPhaseWriter[Any]):
    def __init__(self, folder: Path) -> None:
        self._prepared, self._committed = folder / "prepared", folder / "committed"
        for place in (self._prepared, self._committed):
            place.mkdir(parents=True, exist_ok=True)
        self._rows: list[Any] = []

    def write(self, batch: Any) -> None:
        self._rows += batch

    def prepare(self, token: str) -> None:
        rows, self._rows = self._rows, []
        new = self._prepared / "new"
        new.write_text(json.dumps(rows))
        new.rename(self._prepared / token.replace("/", "!"))

    def commit(self, token: str) -> None:
        name = token.replace("/", "!")
        if (self._prepared / name).exists():
            (self._prepared / name).rename(self._committed / name)

    def abort(self, token: str) -> None:
        (self._prepared / token.replace("/", "!")).unlink()

    def pending(self) -> Sequence[str]:
        return [name.replace("!", "/") for name in os.listdir(self._prepared) if name != "new"]


@pytest.mark.parametrize("point", ["after_commit", "before_apply", "before_sink_commit", "after_sink_commit"])
def test_a_worker_killed_between_prepare_and_commit_is_followed_by_one_that_commits(point: str, tmp_path: Path) -> None:
    app = ps.Pipeline("two-phases")
    numbers = app.source(range(2000), name="ingest").stage("pass").map(abs)
    numbers.sink(FolderServer(tmp_path / "server"), name="store", visible="at checkpoint", max_restarts="100/m")
    report = engine.run(
        app.plan(), run_dir=tmp_path / "run", state_dir=tmp_path / "state",
        checkpoint=ps.checkpoint(tmp_path / "store", every="100ms"), crashes={"store": (Crash(point, 1),)},
    )
    assert report.outcome == "finished"
    assert report.stages["store"].restarts == 1
    committed = sorted((tmp_path / "server" / "committed").iterdir())
    assert sorted(row for path in committed for row in json.loads(path.read_text())) == list(range(2000))
    assert not _Writer(tmp_path / "server").pending()
