"""A query gives what it gives undisturbed: stopped and drained on the way, or killed and its machine lost.

CI takes a query of each kind; with `PENSTOCK_NEXMARK=all` it is all of them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nexmark.queries import QUERIES
from nexmark.reference import Reference
from regimes import Life, drained, lost, stopped
from result_lines import lines_of

import penstock as ps
from nexmark import compare

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

OF_EACH_KIND = ("q0", "q5", "q6", "q8", "q12")
"""Rows by themselves, two windows in a row, a process with timers and one that ends with its input, a join and what is
seen once, windows by the clock."""
TAKEN = QUERIES if os.environ.get("PENSTOCK_NEXMARK") == "all" else OF_EACH_KIND


def _require_same(life: Life, reference: Reference) -> None:
    expected = map(compare.line, reference.rows(life.query))
    assert compare.difference(lines_of(life.query, life.output), expected) is None


@pytest.mark.parametrize("query", TAKEN)
def test_a_query_gives_the_same_when_it_is_stopped_and_drained_and_resumed_by_other_workers(
    stream: Path, reference: Reference, query: str, tmp_path: Path
) -> None:
    life = Life(query, stream, tmp_path)
    life.go(stopped, drained)
    assert ["where the run stood" in told for told in life.resumed] == [True, True]
    _require_same(life, reference)


@pytest.mark.parametrize("query", TAKEN)
def test_a_query_gives_the_same_when_its_processes_and_its_machine_die_and_others_resume_it(
    stream: Path, reference: Reference, query: str, tmp_path: Path
) -> None:
    life = Life(query, stream, tmp_path, ps.checkpoint(tmp_path / "store", every="30ms"))
    life.go(lost, lost)
    assert life.killed
    assert ["from checkpoint" in told for told in life.resumed] == [True, True]
    _require_same(life, reference)
