"""Windows over batches of columns give what those over rows give: disordered, late, with nulls, over any kills."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from window_driver import Times

import penstock as ps
from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.memory_files import MemoryFiles
from penstock.operators.windowed import column_calls
from penstock.operators.windowed.aggregate import Aggregate
from penstock.operators.windowed.given_columns import GivenColumns
from penstock.operators.windowed.sliced_calls import SlicedCall
from penstock.operators.windowed.windowed_operator import WindowOptions
from penstock.slot.state import columns as state_columns
from penstock.slot.state.slot_state import SlotState
from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.window import Window

Row = dict[str, Any]


class TimesOfDicts(Times):
    """Of rows that are dicts."""

    def moment_of(self, fn: None) -> Callable[[Any], int]:
        return lambda row: row["t"]  # type: ignore[no-any-return]


FIELDS = {
    "k": pa.string(), "t": pa.int64(), "v": pa.int64(), "f": pa.float64(), "s": pa.large_string(), "ok": pa.bool_(),
}

AGGREGATIONS: dict[str, Aggregation] = {
    "rows": ps.count(), "there": ps.count("v"), "good": ps.count(where="ok"), "sum": ps.sum("v"), "sum_f": ps.sum("f"),
    "sum_b": ps.sum("ok"), "sum_good": ps.sum("v", where="ok"), "min": ps.min("f"), "max": ps.max("f"),
    "min_s": ps.min("s"), "max_good": ps.max("v", where="ok"), "mean": ps.mean("v"),
    "mean_good": ps.mean("f", where="ok"),
    "variance": ps.variance("v"), "all": ps.variance("v", ddof=0, where="ok"), "stddev": ps.stddev("v"),
    "first": ps.first("s"), "last": ps.last("v"), "first_good": ps.first("v", where="ok"),
    "last_good": ps.last("s", where="ok"),
    "arg_min": ps.arg_min("s", by="v"), "arg_max": ps.arg_max("v", by="f"),
    "arg_good": ps.arg_max("s", by="v", where="ok"),
}
CHOOSING = ("first", "last", "arg_min", "arg_max")


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    value = st.none() | st.integers(-4, 4)
    number = st.none() | st.sampled_from([0.5, 1.25, -2.0, math.nan, math.inf])
    row = st.fixed_dictionaries({
        "k": st.sampled_from(["a", "b", "c", None]), "t": st.integers(0, 60), "v": value, "f": number,
        "s": st.none() | st.sampled_from("xyz"), "ok": st.none() | st.booleans(),
    })
    found = draw(st.lists(row, max_size=60))
    return sorted(found, key=lambda row: row["t"] + draw(st.integers(-12, 12)))


def batches_of(events: list[Row], chance: random.Random) -> list[list[Row]]:
    found, at = [], 0
    while at < len(events):
        size = chance.randint(1, 12)
        found.append(events[at : at + size])
        at += size
    return found


def table_of(batch: list[Row], types: dict[str, pa.DataType]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in batch], kind) for name, kind in types.items()})


class Slot:
    """Runs a window over batches, and is killed now and then."""

    def __init__(self, operator: Aggregate, disorder: int, chance: random.Random, *, mixes: bool) -> None:
        self._operator = operator
        self._disorder = disorder
        self._chance = chance
        self._mixes = mixes
        self._files = MemoryFiles()
        self._committed: tuple[list[int], int, int, int, int] = ([], NO_WATERMARK, 0, 0, 0)
        self.given: list[Any] = []
        self.late = 0
        self.columns_taken = 0

    def run(self, batches: list[list[Row]]) -> None:
        while not self._lives(batches):
            del self.given[self._committed[3] :]
            self.late = self._committed[4]

    def _lives(self, batches: list[list[Row]]) -> bool:
        numbers, watermark, at, _, self._late_before = self._committed
        self._state = SlotState()
        stage = self._state.stage("s")
        call = self._operator.with_state(None, None, stage.of("aggregate"))  # type: ignore[arg-type]
        assert isinstance(call, SlicedCall) and call.columns is not None
        self._state.open(Path("log"), numbers, self._files)
        call.begin(watermark)
        newest = max((row["t"] for batch in batches[:at] for row in batch), default=None)
        self._at, self._watermark = at, watermark
        while True:
            if newest is not None and not self._advance(call, newest - self._disorder):
                return False
            if self._at == len(batches):
                return self._advance(call, END_OF_TIME) and self._commits(call, force=True)
            batch = batches[self._at]
            self._take(call, batch)
            self._at += 1
            newest = max([row["t"] for row in batch] + ([] if newest is None else [newest]))
            if not self._commits(call):
                return False

    def _take(self, call: SlicedCall, batch: list[Row]) -> None:
        assert call.columns is not None
        if self._mixes and self._chance.random() < 0.2:
            for row in batch:
                call(row)
            return
        types = dict(FIELDS)
        if self._mixes and self._chance.random() < 0.3:
            types["f"] = types["v"] = pa.float32()
        taken = call.columns.take(table_of(batch, types), Any)
        assert taken is not None
        call.columns.add(taken)
        self.columns_taken += 1

    def _advance(self, call: SlicedCall, watermark: int) -> bool:
        if watermark <= self._watermark:
            return True
        for row in call.advance(watermark):
            self.given += row.rows() if isinstance(row, GivenColumns) else [row]
            if not self._commits(call):
                return False
        self._watermark = watermark
        return True

    def _commits(self, call: SlicedCall, *, force: bool = False) -> bool:
        """Commits now and then. False: killed."""
        if force or self._chance.random() < 0.4:
            late = self._late_before + call.late
            self._committed = (self._state.flush(), self._watermark, self._at, len(self.given), late)
            self._state.committed()
            self.late = self._committed[4]
        return force or self._chance.random() >= 0.08


def by_rows(operator: Aggregate, batches: list[list[Row]], disorder: int) -> tuple[list[Row], int]:
    state = SlotState()
    call = operator.with_state(None, None, state.stage("s").of("aggregate"))  # type: ignore[arg-type]
    found: list[Row] = []
    watermark, newest = NO_WATERMARK, NO_WATERMARK
    for batch in batches:
        for row in batch:
            call(row)
        newest = max(newest, *(row["t"] for row in batch))
        if newest - disorder > watermark:
            watermark = newest - disorder
            found += call.advance(watermark)
    found += call.advance(END_OF_TIME)
    return found, call.late


def alike(found: list[Row]) -> list[Any]:
    return sorted((sorted((name, shown(value)) for name, value in row.items()) for row in found), key=repr)


def shown(value: Any) -> Any:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else float(f"{value:.9g}") + 0.0
    return value


def operator_of(window: Window, lateness: int, *, mixes: bool) -> Aggregate:
    """`mixes`: without those for which it counts which of equal ones came first."""
    chosen = {name: one for name, one in AGGREGATIONS.items() if not mixes or one.verb not in CHOOSING}
    options = WindowOptions(window, lateness / 1e6)
    operator = Aggregate(None, "here", "k", options, aggregations=tuple(chosen.items()))
    return operator.placed(dict[str, Any], TimesOfDicts())


@pytest.mark.parametrize("mixes", [False, True], ids=["columns", "columns and rows"])
@settings(max_examples=100, deadline=None, phases=set(Phase) - {Phase.shrink, Phase.explain})
@given(rows(), st.sampled_from([(10, 10), (12, 4), (10, 6), (20, 5)]), st.sampled_from([0, 5]), st.integers(0, 2**32))
def test_columns_give_what_rows_give_whenever_the_worker_is_killed(
    mixes: bool, events: list[Row], shape: tuple[int, int], lateness: int, seed: int
) -> None:
    chance = random.Random(seed)
    size, every = shape
    operator = operator_of(ps.sliding(size / 1e6, every=every / 1e6), lateness, mixes=mixes)
    batches = batches_of(events, chance)
    disorder = chance.choice([0, 8])
    slot = Slot(operator, disorder, chance, mixes=mixes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column_calls, "_FEW_ROWS", chance.choice([1, 256]))
        patch.setattr(column_calls, "_MOST_ROWS", chance.choice([1, 2, 1000]))
        patch.setattr(state_columns, "_MERGED_ROWS", chance.choice([1, 1000]))
        slot.run(batches)
    expected, late = by_rows(operator, batches, disorder)
    assert alike(slot.given) == alike(expected)
    assert slot.late == late
