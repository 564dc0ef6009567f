"""The queries that no stream with one result for all can test, by cases that others have written: q12 and q13."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nexmark.events import Bid
from nexmark.queries import Side, q12, q13

import penstock as ps
from penstock import testing
from penstock.connectors import files
from penstock.testing.clock import ManualClock

_CASES = json.loads((Path(__file__).parent / "micro_cases.json").read_text())
CASES = {f"{case['query']}-{case['case']}": case for case in _CASES["cases"]}


def bids(case: dict[str, Any]) -> Iterator[tuple[int, Bid]]:
    """With the processing time of each, in milliseconds."""
    for event in (event for batch in case["batches"] for event in batch):
        fields = {**_CASES["defaults"]["bid"], **event}
        bid = Bid(**{name: fields[name] for name in Bid.__struct_fields__})
        yield event.get("_proc_time", 0), bid


def expected(case: dict[str, Any]) -> list[list[Any]]:
    """What is there at the end: the changes of all batches together."""
    rows: Counter[str] = Counter()
    for delta in (delta for batch in case["expected_deltas"] for delta in batch):
        rows[json.dumps(delta[:-1])] += delta[-1]
    return sorted(json.loads(row) for row, count in rows.items() for _ in range(count))


@pytest.mark.parametrize("name", CASES)
def test_a_query_gives_what_is_expected_of_a_case(name: str, tmp_path: Path) -> None:
    case, app = CASES[name], ps.Pipeline("micro")
    events: Any = app.source([next(bids(case))[1]], name="events")
    if case["query"] == "q13":
        side = tmp_path / "side.csv"
        side.write_text("key,value\n" + "".join(f"{key},{key}\n" for key in range(10_000)))
        q13(events, 1, files.csv(side, Side)).sink(print, name="out")
    else:
        q12(events, 1).sink(print, name="out")
    script: list[Any] = []
    passed_ms, begin_ms = 0, round(ManualClock().wall() * 1000)
    for at_ms, bid in bids(case):
        script += [testing.Pause((at_ms - passed_ms) / 1000)] if at_ms > passed_ms else []
        passed_ms = max(at_ms, passed_ms)
        script.append(bid)
    given = testing.run(app, {"events": testing.ScriptedSource(script)}).outputs["out"]
    if case["query"] == "q12":
        given = [[bidder, count, start - begin_ms, end - begin_ms] for bidder, count, start, end in given]
    assert sorted(given) == expected(case)
