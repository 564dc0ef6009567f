"""Random numbers of workers: no two slots and no two lives draw the same, unless user code seeds them itself."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy

import penstock as ps
from penstock.connectors import files

numpy.random.rand()  # the zygote has its state, too


class Draws:
    def open(self, context: ps.Context) -> None:
        self.context = context

    def __call__(self, row: int) -> dict[str, Any]:
        return {
            "slot": self.context.slot, "numpy": float(numpy.random.random()), "random": random.random(),
            "rng": self.context.rng.random(),
        }


def _drawn(where: Any, out: Path) -> list[dict[str, Any]]:
    app = ps.Pipeline("dice")
    stage = app.source(range(200), name="numbers").stage("draw", workers=4, edge=ps.Edge(batch_rows=5))
    stage.map(Draws).sink(files.json_lines(out), name="store")
    app.run(**where)
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_no_two_workers_draw_the_same(where: Any, tmp_path: Path) -> None:
    rows = _drawn(where, tmp_path / "one.jsonl") + _drawn(where, tmp_path / "two.jsonl")
    assert len({row["slot"] for row in rows}) > 1
    for source in ("numpy", "random", "rng"):
        assert len({row[source] for row in rows}) == 400, source


def test_the_rng_of_a_context_is_the_same_for_the_same_slot_life_and_run() -> None:
    def context(**other: Any) -> ps.Context:
        given = {"pipeline": "p", "stage": "s", "slot": 0, "workers": 2, "attempt": 1, "run_id": "run", **other}
        return ps.Context(**given)

    first = context().rng.random()
    assert context().rng.random() == first
    for other in ({"slot": 1}, {"attempt": 2}, {"stage": "t"}, {"run_id": "later"}):
        assert context(**other).rng.random() != first
