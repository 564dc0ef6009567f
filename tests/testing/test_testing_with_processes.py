"""`testing.run(processes=True)` and the parts that serve real runs: scripts, lists, clocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock import testing
from penstock.operator import Context
from penstock.slot.process.crash_points import POINTS
from penstock.source import EndOfSplit, Reader

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


class Row(msgspec.Struct):
    number: int


def _app() -> ps.Pipeline:
    app = ps.Pipeline("rows")
    app.source([0], name="numbers").stage("work").map(Row).sink(ps.discard(), name="out")
    return app


@pytest.mark.parametrize("point", [point for point in POINTS if "sink_commit" not in point])
def test_every_row_comes_once_wherever_a_worker_dies(point: str) -> None:
    stage = "out" if "sink" in point else "work"
    outcome = testing.run(
        _app(), {"numbers": range(3000)}, processes=True, crashes=[testing.crash(stage, at=point, row=500)]
    )
    assert outcome.outputs["out"] == [Row(number) for number in range(3000)]
    assert outcome.report.stages[stage].restarts == 1
    assert outcome.dead_letters == ()


def test_both_ways_give_the_same(tmp_path: Path) -> None:
    def fail_odd(row: Row) -> Row:
        if row.number % 2:
            raise ValueError(row.number)
        return row

    app = ps.Pipeline("same")
    app.source([0], name="numbers").map(Row).stage("even").map(fail_odd).sink(ps.discard(), name="out")
    here = testing.run(app, {"numbers": range(10)})
    there = testing.run(app, {"numbers": range(10)}, processes=True)
    assert here.outputs == there.outputs
    assert [(d.row, d.error, d.operator, d.traceback) for d in here.dead_letters] == [
        (d.row, d.error, d.operator, d.traceback) for d in there.dead_letters
    ]
    for name, stage in there.report.stages.items():
        mine = here.report.stages[name]
        assert (mine.rows_in, mine.rows_out, mine.dead_letters) == (stage.rows_in, stage.rows_out, stage.dead_letters)


def test_the_worker_of_a_script_dies_at_every_abort_and_rows_come_once() -> None:
    script = testing.ScriptedSource([1, 2, testing.Abort(), 3, testing.Pause("20ms"), testing.Abort(), 4])
    outcome = testing.run(_app(), {"numbers": script}, processes=True)
    assert outcome.outputs["out"] == [Row(1), Row(2), Row(3), Row(4)]
    assert outcome.report.stages["numbers"].restarts == 2


def test_a_list_sink_and_a_script_serve_an_ordinary_run(tmp_path: Path) -> None:
    sink = testing.ListSink[Row](Row)
    app = ps.Pipeline("ordinary")
    app.source(testing.ScriptedSource([1, testing.Pause("5ms"), 2])).map(Row).sink(sink)
    app.run(run_dir=tmp_path / "run", state_dir=tmp_path / "state", progress=False)
    assert sink.rows == [Row(1), Row(2)]
    app.run(run_dir=tmp_path / "run", state_dir=tmp_path / "state", progress=False)
    assert sink.rows == [Row(1), Row(2)]


def test_a_list_sink_forgets_what_lies_beyond_the_position() -> None:
    sink = testing.ListSink[int]()
    sink.prepare()
    writer = sink.writer(None, CONTEXT)
    writer.write([1, 2])
    position = writer.position()
    writer.write([3])
    assert sink.rows == [1, 2, 3]
    again = sink.writer(position, CONTEXT)
    again.write([4])
    assert sink.rows == [1, 2, 4]
    writer.close()
    again.close()


def test_a_list_sink_leaves_no_files_behind() -> None:
    sink = testing.ListSink[int]()
    sink.prepare()
    folder = sink._folder
    assert folder.is_dir()
    del sink
    assert not folder.exists()


def test_a_script_pauses_by_its_clock() -> None:
    clock = testing.ManualClock()
    reader = testing.ScriptedSource([1, 2, testing.Pause("1s"), 3], clock=clock).open(None, None, CONTEXT)
    assert reader.read() == [1, 2]
    assert reader.read() is None
    clock.advance("999ms")
    assert reader.read() is None
    clock.advance("1ms")
    assert reader.read() == [3]
    with pytest.raises(EndOfSplit):
        reader.read()


def test_a_scripted_source_resumes_at_any_position() -> None:
    steps: list[Any] = [1, testing.Pause("0s"), 2, testing.Pause("0s"), 3]
    source = testing.ScriptedSource(steps)
    reader = source.open(None, None, CONTEXT)
    for rest in ([2, 3], [3], []):
        reader.read()
        successor = source.open(None, reader.position(), CONTEXT)
        assert _all_rows(successor) == rest


def _all_rows(reader: Reader[Any]) -> list[Any]:
    rows: list[Any] = []
    while True:
        try:
            rows += reader.read() or []
        except EndOfSplit:
            return rows


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = testing.ManualClock()
    now, wall = clock.monotonic(), clock.wall()
    clock.advance("5s")
    clock.sleep(1.5)
    assert clock.monotonic() - now == clock.wall() - wall == 6.5
