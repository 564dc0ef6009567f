"""`where=` takes the rows for which it is true, and NaN is chosen only where there is nothing else."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock.windows.accumulators import AccumulatorCode, Accumulators
from penstock.windows.aggregations.aggregation import Aggregation

NAN = math.nan


class Answer(msgspec.Struct):
    """A row of a web server."""

    status: int
    ms: float
    ok: bool | None = True


ANSWERS = [
    Answer(200, 5.0), Answer(500, 40.0, False), Answer(404, 1.0, None), Answer(200, 7.0), Answer(503, 9.0, False),
]


def result_of(aggregation: Aggregation, rows: list[Any], row_type: Any) -> Any:
    """Of all rows; of two parts of them that are merged, it must be the same."""
    made = Accumulators(AccumulatorCode({"x": aggregation}, row_type, 0))
    found = []
    for cut in range(len(rows)):
        parts = []
        for part in (rows[:cut], rows[cut:]):
            if part:
                parts.append(made.first(part[0], 0, ()))
                for time, row in enumerate(part[1:], 1):
                    made.update(parts[-1], row, time)
        for part in parts[1:]:
            made.merge(parts[0], part)
        found.append(made.results(parts[0])[0])
    assert all(one == found[0] or (one != one and found[0] != found[0]) for one in found), found
    return found[0]


@pytest.mark.parametrize("row_type", [Answer, Any])
@pytest.mark.parametrize(("aggregation", "expected"), [
    (ps.count(where="ok"), 2), (ps.count(where=lambda row: row.status >= 500), 2), (ps.sum("ms", where="ok"), 12.0),
    (ps.max("ms", where=lambda row: row.status < 500), 7.0), (ps.mean("ms", where="ok"), 6.0),
    (ps.collect("status", where=lambda row: row.status >= 400), [500, 404, 503]),
    (ps.collect("status", where=lambda row: row.status == 0), []), (ps.sum("ms", where=lambda row: False), None),
    (ps.count(where=lambda row: False), 0), (ps.count_distinct("status", where="ok"), 1),
    (ps.top_k(1, by="ms", of="status", where="ok"), [200]), (ps.arg_max("status", by="ms", where="ok"), 200),
    (ps.quantile("ms", 1.0, where=lambda row: row.status == 404), pytest.approx(1.0, rel=0.01)),
])
def test_only_rows_for_which_it_is_true_are_taken(row_type: Any, aggregation: Aggregation, expected: Any) -> None:
    assert result_of(aggregation, ANSWERS, row_type) == expected


def test_where_is_part_of_the_name_by_which_state_is_known() -> None:
    assert ps.sum("ms", where="ok").name == "sum('ms', where='ok')"
    assert ps.count(where="ok").name == "count(where='ok')"


def test_a_field_that_is_no_bool_is_a_mistake_and_a_function_the_remedy() -> None:
    app = ps.Pipeline("answers")
    windows = app.source(ANSWERS).stage("n").key_by("status").window(ps.tumbling("1s"), time="ms")
    windows.aggregate(n=ps.count(where="status")).sink(ps.discard())
    said = r"'status' is int, and where= takes a bool(.|\n)*lambda row: row.status"
    with pytest.raises(ps.PipelineInvalid, match=said):
        app.plan()


def test_the_remedy_fits_the_field() -> None:
    app = ps.Pipeline("answers")
    rows = [Measured("a", 1.0)]
    windows = app.source(rows).stage("n").key_by("name").window(ps.tumbling("1s"), time="x")
    windows.aggregate(n=ps.count(where="name"), m=ps.count(where="x")).sink(ps.discard())
    with pytest.raises(ps.PipelineInvalid, match=r'lambda row: row.name == "..."(.|\n)*lambda row: row.x > 0'):
        app.plan()


class Measured(msgspec.Struct):
    """A row that may have no number."""

    name: str
    x: float


class Paid(msgspec.Struct):
    """The same of money; a comparison of a Decimal with NaN raises."""

    name: str
    x: Decimal


@pytest.mark.parametrize(
    ("made", "number", "row_type"),
    [(Measured, float, Measured), (Measured, float, Any), (Paid, Decimal, Paid), (Paid, Decimal, Any)],
)
def test_nan_is_chosen_only_where_there_is_nothing_else_whatever_the_order(
    made: Any, number: Any, row_type: Any
) -> None:
    for drawn in ([1.0, NAN, 2.0], [NAN, NAN, 3.0], [NAN, -1.0, math.inf], [NAN, NAN]):
        values = list(map(number, drawn))
        for order in itertools.permutations(values):
            rows = [made(f"r{value}".lower(), value) for value in order]
            numbers = [value for value in values if value == value]
            least, most = min(numbers, default=number(NAN)), max(numbers, default=number(NAN))
            for aggregation, expected in ((ps.min("x"), least), (ps.max("x"), most)):
                found = result_of(aggregation, rows, row_type)
                assert found == expected or (found != found and expected != expected)
            assert result_of(ps.arg_min("name", by="x"), rows, row_type) == f"r{least}".lower()
            assert result_of(ps.arg_max("name", by="x"), rows, row_type) == f"r{most}".lower()
            best = [f"r{value}".lower() for value in sorted(numbers, reverse=True)]
            best += ["rnan"] * (len(values) - len(numbers))
            assert result_of(ps.top_k(2, by="x", of="name"), rows, row_type) == best[:2]
