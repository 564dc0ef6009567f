"""`testing.run` in the test's own process: the same rows, fates and reports as the engine, and no process at all."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock import testing
from penstock.connectors import duckdb, files


def _double(x: int) -> int:
    return 2 * x


def _numbers(**stage: Any) -> tuple[ps.Pipeline, ps.Stream[int]]:
    app = ps.Pipeline("numbers")
    return app, app.source([0], name="numbers").stage("work", **stage)


def test_rows_come_out_in_order_and_nothing_runs_elsewhere() -> None:
    app, work = _numbers(workers=3)
    work.map(lambda x: (x, os.getpid())).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"numbers": range(100)})
    assert outcome.outputs == {"out": [(x, os.getpid()) for x in range(100)]}
    assert outcome.report.outcome == "finished"
    assert outcome.report.stages["work"].rows_in == outcome.report.stages["out"].rows_out == 100


def test_every_source_must_be_given() -> None:
    app, work = _numbers()
    work.map(_double).sink(ps.discard())
    with pytest.raises(ps.PenstockError, match="inputs says nothing of the source 'numbers'"):
        testing.run(app, {})


def test_an_input_without_a_source_is_refused_with_the_nearest_name() -> None:
    app, work = _numbers()
    work.map(_double).sink(ps.discard())
    with pytest.raises(ps.PenstockError, match="'number', but no source has this name; did you mean 'numbers'"):
        testing.run(app, {"numbers": [], "number": []})


@pytest.mark.parametrize("given", ["abc", b"abc", 3])
def test_an_input_that_is_not_a_collection_of_rows_is_refused(given: Any) -> None:
    app, work = _numbers()
    work.map(_double).sink(ps.discard())
    with pytest.raises(ps.PenstockError, match=r"inputs\['numbers'\] is a (str|bytes|int)"):
        testing.run(app, {"numbers": given})


def test_mistakes_are_raised_before_anything_runs() -> None:
    app = ps.Pipeline("wrong")
    app.source([1], name="numbers").map(_double)
    with pytest.raises(ps.PipelineInvalid, match="go nowhere"):
        testing.run(app, {"numbers": [1]})


def test_no_real_system_is_touched(tmp_path: Any) -> None:
    app = ps.Pipeline("real")
    called: list[str] = []
    lines = app.source(files.lines(str(tmp_path / "missing" / "*.log")), name="ingest")
    lines.sink(files.json_lines(str(tmp_path / "out.jsonl")), name="file")
    lines.sink(duckdb.table(str(tmp_path / "db.duckdb"), "t"), name="table")

    def call(line: str) -> None:
        called.append(line)

    lines.sink(call, name="function")
    lines.stage("fused").map(str.upper).sink(call, fused=True)
    outcome = testing.run(app, {"ingest": ["a", "b"]})
    assert outcome.outputs == {"file": ["a", "b"], "table": ["a", "b"], "function": ["a", "b"], "fused": ["A", "B"]}
    assert called == []
    assert list(tmp_path.iterdir()) == []


class Click(msgspec.Struct):
    user: str


def test_a_source_that_parses_is_given_rows(tmp_path: Any) -> None:
    app = ps.Pipeline("parsed")
    app.source(files.json_lines(str(tmp_path / "*.jsonl"), Click), name="clicks").filter(
        lambda c: c.user != "bot"
    ).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"clicks": [Click("ann"), Click("bot")]})
    assert outcome.outputs["out"] == [Click("ann")]


def _fail_odd(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


def test_a_row_that_raises_becomes_a_dead_letter_that_tells_everything() -> None:
    app, work = _numbers()
    work.map(_fail_odd).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"numbers": [1, 2]})
    assert outcome.outputs["out"] == [2]
    [letter] = outcome.dead_letters
    assert (letter.pipeline, letter.stage, letter.slot, letter.attempts) == ("numbers", "work", 0, 1)
    assert letter.row == 1
    assert letter.error == "ValueError: 1 is odd"
    assert letter.operator.startswith("map(_fail_odd) ") and "test_in_memory.py:" in letter.operator
    assert "in _fail_odd" in letter.traceback and "penstock" not in letter.traceback.partition("_fail_odd")[0]
    assert outcome.report.dead_letters == 1


def test_skipped_rows_are_counted() -> None:
    app, work = _numbers(on_error=ps.skip())
    work.map(_fail_odd).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"numbers": range(5)})
    assert outcome.outputs["out"] == [0, 2, 4]
    assert outcome.report.stages["work"].skipped == 2


def test_a_failing_stage_raises_what_the_engine_raises() -> None:
    app, work = _numbers(on_error=ps.fail())
    work.map(_fail_odd).sink(ps.discard())
    with pytest.raises(ps.PipelineFailed, match="1 is odd; the row was 1") as caught:
        testing.run(app, {"numbers": [0, 1, 2]})
    assert caught.value.stage == "work"
    assert "_fail_odd" in caught.value.traceback
    assert caught.value.report.outcome == "failed"


def test_code_that_never_succeeds_fails_at_the_end() -> None:
    app, work = _numbers()
    work.map(_fail_odd).sink(ps.discard())
    with pytest.raises(ps.PipelineFailed, match="no row has ever succeeded and 3 have failed"):
        testing.run(app, {"numbers": [1, 3, 5]})


class FailsAtFirst:
    """Fails the first two attempts of every row."""

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()

    def __call__(self, x: int) -> tuple[int, int]:
        self.seen[x] += 1
        if self.seen[x] < 3:
            raise OSError("not yet")
        return x, self.seen[x]


def test_delays_of_retries_are_skipped() -> None:
    app, work = _numbers(retries=2, retry_delay="1h", retry_delay_max="10h")
    work.map(FailsAtFirst).sink(ps.discard(), name="out")
    began = time.monotonic()
    outcome = testing.run(app, {"numbers": [1, 2]})
    assert sorted(outcome.outputs["out"]) == [(1, 3), (2, 3)]
    assert outcome.report.stages["work"].retries == 4
    assert time.monotonic() - began < 60


def test_a_waiting_row_is_overtaken_unless_the_stage_is_ordered() -> None:
    for ordered, expected in ((False, [2, 1]), (True, [1, 2])):
        seen: list[int] = []

        def once(x: int, seen: list[int] = seen) -> int:
            if x == 1 and not seen:
                seen.append(x)
                raise OSError
            return x

        app, work = _numbers(ordered=ordered, workers=2 if ordered else 1, retries=1)
        work.map(once).sink(ps.discard(), name="out")
        assert testing.run(app, {"numbers": [1, 2]}).outputs["out"] == expected


def test_verdicts_of_user_code_are_obeyed() -> None:
    def judge(x: int) -> int:
        if x == 1:
            raise ps.Drop("bot")
        if x == 2:
            raise ps.Reject("no such user")
        return x

    app, work = _numbers(retries=5)
    work.map(judge).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"numbers": [1, 2, 3]})
    assert outcome.outputs["out"] == [3]
    assert outcome.report.stages["work"].skipped == 1
    assert [(letter.row, letter.attempts) for letter in outcome.dead_letters] == [(2, 1)]


def test_keys_stay_together_and_every_slot_has_its_own_instance() -> None:
    class Count:
        def open(self, context: ps.Context) -> None:
            self.slot, self.seen = context.slot, Counter[str]()

        def __call__(self, row: dict[str, str]) -> tuple[str, int, int]:
            self.seen[row["user"]] += 1
            return row["user"], self.slot, self.seen[row["user"]]

    app = ps.Pipeline("keyed")
    app.source([{"user": "x"}], name="rows").stage("count", workers=4).key_by("user").map(Count).sink(
        ps.discard(), name="out"
    )
    users = [f"u{i % 10}" for i in range(200)]
    rows = testing.run(app, {"rows": [{"user": user} for user in users]}).outputs["out"]
    assert len({slot for _, slot, _ in rows}) > 1
    assert len({(user, slot) for user, slot, _ in rows}) == 10
    assert Counter(user for user, _, _ in rows) == Counter(users)
    assert max(count for _, _, count in rows) == 20


class Tagged:
    def __init__(self, tag: str) -> None:
        self.tag = tag

    def open(self, context: ps.Context) -> None:
        self.slot = context.slot

    def __call__(self, x: int) -> tuple[str, int]:
        return self.tag, self.slot


def test_an_instance_is_a_copy_in_every_further_slot() -> None:
    app, work = _numbers(workers=3)
    mine = Tagged("mine")
    work.broadcast().map(mine).sink(ps.discard(), name="out")
    assert testing.run(app, {"numbers": [1]}).outputs["out"] == [("mine", 0), ("mine", 1), ("mine", 2)]
    assert mine.slot == 0


def add_one(batch: pa.RecordBatch) -> pa.RecordBatch:
    if 5 in batch.column("n").to_pylist():
        raise ValueError("five")
    return batch.set_column(0, "n", pc.add(batch.column("n"), 1))


class Number(msgspec.Struct):
    n: int


def test_columns_become_rows_again() -> None:
    app = ps.Pipeline("columns")
    rows = app.source([Number(0)], name="rows").stage("add").map_batches(add_one, type=Number)
    rows.stage("show").map(lambda row: row.n).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"rows": [Number(n) for n in range(8)]})
    assert outcome.outputs["out"] == [1, 2, 3, 4, 5, 7, 8]
    assert [(letter.stage, letter.error) for letter in outcome.dead_letters] == [("add", "ValueError: five")]


def test_an_interrupt_of_the_tester_ends_the_run() -> None:
    def interrupted(x: int) -> int:
        raise KeyboardInterrupt

    app, work = _numbers()
    work.map(interrupted).sink(ps.discard())
    with pytest.raises(KeyboardInterrupt):
        testing.run(app, {"numbers": [1]})


def test_a_key_function_that_raises_names_the_stage_of_the_key() -> None:
    app = ps.Pipeline("keyed")
    app.source([{"a": 1}], name="rows").stage("by_user", workers=2).key_by(lambda r: r["user"]).map(
        lambda r: r
    ).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"rows": [{"user": "ann"}, {"x": 1}]})
    assert outcome.outputs["out"] == [{"user": "ann"}]
    [letter] = outcome.dead_letters
    assert letter.stage == "by_user" and letter.error == "KeyError: 'user'" and letter.operator.startswith("key_by ")


def test_broadcast_rows_reach_every_slot() -> None:
    app = ps.Pipeline("cast")
    app.source([1], name="rows").stage("all", workers=3).broadcast().map(_double).sink(ps.discard(), name="out")
    assert testing.run(app, {"rows": [1, 2]}).outputs["out"] == [2, 4] * 3


def test_branches_do_not_see_each_others_changes() -> None:
    def spoil(row: dict[str, int]) -> dict[str, int]:
        row["x"] = -1
        return row

    app = ps.Pipeline("branches")
    rows = app.source([{"x": 1}], name="rows")
    rows.stage("spoil").map(spoil).sink(ps.discard(), name="spoilt")
    rows.sink(ps.discard(), name="plain")
    outcome = testing.run(app, {"rows": [{"x": 1}]})
    assert outcome.outputs == {"spoilt": [{"x": -1}], "plain": [{"x": 1}]}


def test_a_result_that_cannot_travel_is_the_fault_of_its_row() -> None:
    app, work = _numbers()
    work.map(lambda x: (y for y in ()) if x == 2 else x).stage("next").map(str).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"numbers": [1, 2, 3]})
    assert outcome.outputs["out"] == ["1", "3"]
    [letter] = outcome.dead_letters
    assert letter.stage == "work" and letter.row == 2 and "generator" in letter.error


def test_merged_streams_come_together() -> None:
    app = ps.Pipeline("merged")
    left, right = app.source([1], name="left"), app.source([2], name="right")
    left.merge(right).sink(ps.discard(), name="out")
    assert testing.run(app, {"left": [1, 2], "right": [3]}).outputs["out"] == [1, 2, 3]


def test_coroutines_run_with_their_timeouts() -> None:
    async def slow(x: int) -> int:
        await asyncio.sleep(10 if x == 2 else 0)
        return x

    app, work = _numbers(timeout="50ms")
    work.map(slow).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"numbers": [1, 2, 3]})
    assert outcome.outputs["out"] == [1, 3]
    [letter] = outcome.dead_letters
    assert letter.error == "penstock.errors.RowTimeout: the row took longer than 0.05 s"


def test_a_row_past_its_timeout_is_interrupted_and_other_alarms_still_ring() -> None:
    def slow(x: int) -> int:
        if x == 2:
            time.sleep(30)
        return x

    app, work = _numbers(timeout="50ms")
    work.map(slow).sink(ps.discard(), name="out")
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        outcome = testing.run(app, {"numbers": [1, 2, 3]})
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 100
        assert heard == []
        signal.raise_signal(signal.SIGALRM)
        assert heard == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert outcome.outputs["out"] == [1, 3]
    assert "RowTimeout" in outcome.dead_letters[0].error


def test_operators_are_opened_and_closed_once() -> None:
    calls: list[str] = []

    class Op:
        def __init__(self, calls: list[str]) -> None:
            self.calls = calls

        def open(self, context: ps.Context) -> None:
            self.calls.append(f"open {context.stage}.{context.slot} of {context.workers} life {context.attempt}")

        def __call__(self, x: int) -> int:
            self.calls.append(f"row {x}")
            return x

        def close(self) -> None:
            self.calls.append("close")

    app, work = _numbers()
    work.map(Op(calls)).sink(ps.discard())
    testing.run(app, {"numbers": [7]})
    assert calls == ["open work.0 of 1 life 1", "row 7", "close"]


def test_an_open_that_raises_fails_the_stage() -> None:
    class Op:
        def open(self, context: ps.Context) -> None:
            raise OSError("no model")

        def __call__(self, x: int) -> int:
            return x

    app, work = _numbers()
    work.map(Op).sink(ps.discard())
    with pytest.raises(ps.PipelineFailed, match=r"opening map\(Op\) \S*test_in_memory\.py:\d+: OSError: no model"):
        testing.run(app, {"numbers": [1]})


def test_a_close_that_raises_is_told_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Op:
        def __call__(self, x: int) -> int:
            return x

        def close(self) -> None:
            raise OSError("disk full")

    app, work = _numbers()
    work.map(Op).sink(ps.discard(), name="out")
    with caplog.at_level(logging.WARNING):
        assert testing.run(app, {"numbers": [1]}).outputs["out"] == [1]
    assert "closing failed: OSError: disk full" in caplog.text


def test_the_idempotency_key_is_the_same_on_every_attempt() -> None:
    class Op:
        def open(self, context: ps.Context) -> None:
            self.context, self.keys = context, list[tuple[int, str]]()

        def __call__(self, x: int) -> list[str]:
            self.keys.append((x, self.context.idempotency_key))
            mine = [key for row, key in self.keys if row == x]
            if len(mine) < 3:
                raise OSError
            return mine

    app, work = _numbers(retries=2)
    work.map(Op).sink(ps.discard(), name="out")
    keys = testing.run(app, {"numbers": [1, 2]}).outputs["out"]
    assert [len(set(of_row)) for of_row in keys] == [1, 1]
    assert keys[0][0] != keys[1][0]


def test_pauses_and_aborts_of_a_script_take_no_time_and_lose_nothing() -> None:
    app, work = _numbers()
    work.map(_double).sink(ps.discard(), name="out")
    script = testing.ScriptedSource([1, testing.Pause("2h"), 2, testing.Abort(), 3, testing.Abort(), 4])
    began = time.monotonic()
    outcome = testing.run(app, {"numbers": script})
    assert outcome.outputs["out"] == [2, 4, 6, 8]
    assert outcome.report.stages["numbers"].restarts == 2
    assert time.monotonic() - began < 60


def test_a_pause_lets_retries_that_are_due_go_first() -> None:
    app, work = _numbers(retries=1, retry_delay="1s")
    work.map(FailsTheFirst).sink(ps.discard(), name="out")
    script = testing.ScriptedSource([1, testing.Pause("1m"), 2])
    assert testing.run(app, {"numbers": script}).outputs["out"] == [1, 2]


class FailsTheFirst:
    failed = False

    def __call__(self, x: int) -> int:
        if not self.failed:
            self.failed = True
            raise OSError
        return x


def test_crashes_without_processes_are_refused() -> None:
    app, work = _numbers()
    work.map(_double).sink(ps.discard())
    with pytest.raises(ps.PenstockError, match="processes=True"):
        testing.run(app, {"numbers": []}, crashes=[testing.crash("work")])


def test_a_crash_in_a_stage_that_does_not_exist_is_refused() -> None:
    app, work = _numbers()
    work.map(_double).sink(ps.discard())
    with pytest.raises(ps.PenstockError, match="no stage has this name; did you mean 'work'"):
        testing.run(app, {"numbers": []}, processes=True, crashes=[testing.crash("wrok")])


def test_a_crash_at_a_point_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'before_commit'"):
        testing.crash("work", at="befor_commit")


def _split(x: int) -> Iterator[int]:
    for part in range(x % 4):
        if x % 7 == 6 and part == 2:
            raise ValueError("half-way")
        yield x * 10 + part


@given(st.lists(st.integers(0, 100)), st.integers(1, 4), st.booleans())
def test_every_row_is_given_out_whole_or_set_aside(rows: list[int], workers: int, ordered: bool) -> None:
    app, work = _numbers(workers=workers, ordered=ordered, on_error=ps.dead_letter(give_up_after=None))
    work.flat_map(_split).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"numbers": rows})
    failing = [x for x in rows if x % 7 == 6 and x % 4 == 3]
    assert [letter.row for letter in outcome.dead_letters] == failing
    assert outcome.outputs["out"] == [x * 10 + part for x in rows if x not in failing for part in range(x % 4)]


def test_what_a_function_changed_before_it_raised_does_not_stay() -> None:
    def change(rows: list[dict[str, int]]) -> list[dict[str, int]]:
        for row in rows:
            row["changes"] += 1
            if row["n"] == 3:
                raise ValueError("three")
        return rows

    app = ps.Pipeline("changes")
    app.source([{"n": 0, "changes": 0}], name="rows").stage("change").map_many(change).sink(ps.discard(), name="out")
    inputs = [{"n": n, "changes": 0} for n in range(8)]
    outcome = testing.run(app, inputs={"rows": inputs})
    assert outcome.outputs["out"] == [{"n": n, "changes": 1} for n in range(8) if n != 3]
    assert [letter.row for letter in outcome.dead_letters] == [{"n": 3, "changes": 0}]
    assert inputs == [{"n": n, "changes": 0} for n in range(8)]


def test_rows_of_a_class_of_the_test_are_tried_again_and_set_aside_as_what_they_are() -> None:
    class Click(msgspec.Struct):
        n: int

    def judge(click: Any) -> Any:
        if click.n == 1:
            raise ValueError("one")
        return click.n

    app = ps.Pipeline("local")
    app.source([Click(0)], name="clicks").stage("judge", retries=2).map(judge).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"clicks": [Click(0), Click(1)]})
    assert outcome.outputs["out"] == [0] and outcome.report.stages["judge"].retries == 2
    assert [(letter.row, letter.attempts) for letter in outcome.dead_letters] == [(Click(1), 3)]


@pytest.mark.parametrize("ordered", [False, True])
def test_more_than_queues_hold_gets_through_in_order(ordered: bool) -> None:
    app = ps.Pipeline("large")
    work = app.source([b""], name="rows").stage("work", workers=2, ordered=ordered, edge=ps.Edge(memory="256 KiB"))
    work.flat_map(lambda row: [row[:1] * 5000] * 20).stage("next", edge=ps.Edge(memory="256 KiB")).map(
        lambda row: (row[0], len(row))
    ).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"rows": [bytes([n]) * 10_000 for n in range(200)]})
    assert sorted(outcome.outputs["out"]) == [(n, 5000) for n in range(200) for _ in range(20)]
    if ordered:
        assert outcome.outputs["out"] == sorted(outcome.outputs["out"])


def test_coroutines_of_several_workers_and_their_retries_run_side_by_side() -> None:
    tried: Counter[int] = Counter()

    async def once_more(x: int) -> int:
        tried[x] += 1
        await asyncio.sleep(0.001)
        if x % 3 == 0 and tried[x] == 1:
            raise OSError
        return x

    app, work = _numbers(workers=3, retries=1, retry_delay="1h", retry_delay_max="1h", concurrency=4)
    work.map(once_more).stage("two", workers=2).map(once_more).sink(ps.discard(), name="out")
    began = time.monotonic()
    outcome = testing.run(app, {"numbers": range(50)})
    assert sorted(outcome.outputs["out"]) == list(range(50))
    assert outcome.report.stages["work"].retries == 17
    assert time.monotonic() - began < 60


def test_a_row_that_waits_for_hours_in_its_place_takes_no_time() -> None:
    app, work = _numbers(ordered=True, workers=2, retries=3, retry_delay="5h", retry_delay_max="20h")
    work.map(FailsAtFirst).sink(ps.discard(), name="out")
    began = time.monotonic()
    assert testing.run(app, {"numbers": [1, 2]}).outputs["out"] == [(1, 3), (2, 3)]
    assert time.monotonic() - began < 60


def test_an_abort_undoes_what_is_not_committed_in_a_stage_that_reads_and_writes() -> None:
    app = ps.Pipeline("fused")
    app.source([0], name="numbers").map(_double).sink(ps.discard(), fused=True)
    script = testing.ScriptedSource([1, 2, testing.Abort(), 3, testing.Pause("1h"), 4, testing.Abort()])
    outcome = testing.run(app, {"numbers": script})
    (rows,) = outcome.outputs.values()
    assert rows == [2, 4, 6, 8]


def test_an_interrupt_while_something_opens_or_closes_ends_the_run() -> None:
    class Opens:
        def open(self, context: ps.Context) -> None:
            raise KeyboardInterrupt

        def __call__(self, x: int) -> int:
            return x

    class Closes:
        def __call__(self, x: int) -> int:
            return x

        def close(self) -> None:
            raise KeyboardInterrupt

    for kind in (Opens, Closes):
        app, work = _numbers()
        work.map(kind).sink(ps.discard())
        with pytest.raises(KeyboardInterrupt):
            testing.run(app, {"numbers": [1]})


def test_after_a_failure_everything_that_was_opened_is_closed() -> None:
    calls: list[str] = []

    class Op:
        def __init__(self, name: str, fails: bool = False) -> None:
            self.name, self.fails = name, fails

        def open(self, context: ps.Context) -> None:
            calls.append(f"open {self.name}")
            if self.fails:
                raise OSError("no model")

        def __call__(self, x: int) -> int:
            raise ValueError

        def close(self) -> None:
            calls.append(f"close {self.name}")

    app, work = _numbers(on_error=ps.fail())
    work.map(Op("a")).sink(ps.discard())
    with pytest.raises(ps.PipelineFailed):
        testing.run(app, {"numbers": [1]})
    assert calls == ["open a", "close a"]
