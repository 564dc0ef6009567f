"""The plan in words: what a user reads before running it."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from test_planner import Click, Table, Texts, double, to_click

import penstock as ps
from penstock.connectors import duckdb, files, stdio
from penstock.plan.promises import promises
from penstock.sink import Delivery

WIDTH = 80


def numbers() -> Iterator[int]:
    yield 1


def columns(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows


class Keyed(Table):
    @property
    def delivery(self) -> Delivery:
        return Delivery.KEYED


def text_of(app: ps.Pipeline, **settings: object) -> str:
    return app.plan(settings={key.replace("__", "."): value for key, value in settings.items()}).to_text()


def small() -> ps.Pipeline:
    app = ps.Pipeline("app")
    app.source(range(10)).stage("x", workers=2).key_by(double).map(to_click).sink(Keyed("clicks", "db"))
    return app


def test_the_text_names_stages_workers_operators_queues_and_promises() -> None:
    text = text_of(small())
    for line in (
        "app: 3 stages, 4 workers, queues of 16 MiB",
        "items  1 worker",
        "  reads items: 10 items",
        "  to x",
        "x  2 workers",
        "  from items: hash by double, 2 queues of 4 MiB, rows of int",
        "  map(to_click)",
        "  from x: balance, 2 queues of 4 MiB, rows of Click",
        "  writes clicks: db::clicks",
        "    effectively once: a row written again replaces itself by its key",
    ):
        assert any(shown.startswith(line) for shown in text.splitlines()), (line, text)


def test_what_holds_against_the_loss_of_a_process_and_of_the_machine_is_a_column_each() -> None:
    app = ps.Pipeline("app")
    rows = app.source(range(10))
    rows.sink(files.json_lines("out/"), name="files")
    rows.sink(duckdb.table("e.duckdb", "t"), name="rows-once-they-are-durable", visible="at checkpoint")
    rows.sink(duckdb.table("a.duckdb", "t"), name="table")
    rows.sink(duckdb.table("b.duckdb", "t", key="id"), name="keyed")
    rows.sink(duckdb.table("c.duckdb", "t", key="id"), name="waiting", visible="at checkpoint")
    rows.sink(Keyed("clicks", "db"), name="upsert")
    rows.sink(print)
    _, _, table = text_of(app).partition("If this is lost:")
    assert table.partition("\n\n")[0].splitlines() == [
        "  a process                    the machine (with checkpoints)",
        "files             exactly once                 exactly once",
        "rows-once-they-are-durable",
        "                  exactly once                 exactly once",
        "table             exactly once                 rows of one interval may repeat",
        "keyed             exactly once                 effectively once, by key",
        "waiting           exactly once                 exactly once",
        "upsert            effectively once, by key     effectively once, by key",
        "stdout            rows in progress may repeat  rows of one interval may repeat",
    ]
    assert all(len(line) <= WIDTH for line in table.splitlines())
    stages = json.loads(app.plan().to_json())["stages"]
    assert stages["table"]["promise_for_machine"] == "rows of one interval may repeat"
    assert "exactly once, once a checkpoint covers it" in text_of(app)


def test_the_text_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    app = small()
    assert all(len(line) <= WIDTH for line in text_of(app).splitlines() if "test_render" not in line)


def test_a_long_operator_goes_on_in_other_lines_and_state_on_disk_is_told() -> None:
    app = ps.Pipeline("usage")
    rows = app.source([{"user": 1}]).stage("count", state=ps.rocksdict(cache="32 MiB")).key_by("user")
    windows = rows.window(ps.tumbling("1m"), time=ps.processing_time())
    windows.aggregate(
        clicks=ps.count(), slow=ps.quantile("milliseconds", 0.95), seen=ps.top_k(3, by="milliseconds", of="page")
    ).sink(ps.discard())
    text = text_of(app)
    assert all(len(line) <= WIDTH for line in text.splitlines() if "writes" not in line)
    for part in ("clicks=count()", "slow=quantile('milliseconds', 0.95)", "seen=top_k(3,"):
        assert part in text
    assert "  keeps state on disk (rocksdict), 32 MiB of it in memory\n" in text


def test_conversions_between_rows_and_columns_are_shown() -> None:
    app = ps.Pipeline("app")
    stream = app.source(range(10)).map(to_click).map_batches(columns).map_batches(columns, type=Click).map(str)
    stream.sink(print)
    lines = [line.split("  ")[1].strip() for line in text_of(app).splitlines() if line.startswith("  ")]
    at = lines.index("(rows to columns)")
    assert lines[at + 1 : at + 5] == [
        "map_batches(columns)", "map_batches(columns)", "(columns to rows)", "map(str)"
    ]  # fmt: skip


def test_an_edge_carries_columns_as_they_left_their_operator() -> None:
    app = ps.Pipeline("app")
    staged = app.source(range(10)).map_batches(columns).stage("x")
    staged.map_batches(columns, type=Click).filter(bool).sink(ps.discard())
    text = text_of(app)
    assert "from items: balance, 1 queue of 8 MiB, columns of dict[str, Any]" in text
    assert "(rows to columns)" in text
    stage = text.partition("\nx  ")[2]
    assert stage.index("map_batches") < stage.index("(columns to rows)") < stage.index("filter(bool)")
    assert "rows to columns" not in stage


def test_branches_of_a_stage_are_indented_and_said_to_wait_for_each_other() -> None:
    app = ps.Pipeline("app")
    doubled = app.source(range(10)).map(double)
    doubled.map(str).sink(print)
    doubled.filter(bool).sink(ps.discard())
    doubled.sink(double)
    text = text_of(app)
    assert "\n    map(str)" in text
    assert "\n    filter(bool)" in text
    assert "stdout, discard and double wait for each other" in " ".join(text.split())


def test_a_stage_of_windows_promises_nothing_of_its_own() -> None:
    app = ps.Pipeline("app")
    windows = app.source([{"k": 1, "ts": 2}]).stage("w").key_by("k").window(ps.tumbling("1s"), time="ts")
    windows.aggregate(n=ps.count()).sink(files.json_lines("n.jsonl"), name="counts")
    windows.late.sink(files.json_lines("late.jsonl"), name="late")
    assert "at least once" not in text_of(app)
    assert [promise.stage for promise in promises(app.plan())] == ["counts", "late"]


def test_a_function_as_sink_is_at_least_once_and_so_is_the_caller() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).sink(double)
    assert text_of(app).count("at least once") == 1


def test_a_source_that_cannot_be_read_again_is_noted() -> None:
    app = ps.Pipeline("app")
    app.source(stdio.stdin()).sink(print)
    assert "stdin cannot be read again" in text_of(app)


def test_a_range_of_workers_is_noted_as_fixed() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).stage("x", workers=(2, 8)).map(double).sink(print)
    assert "x may have up to 8 workers; it is fixed at 2" in text_of(app)
    assert "may have" not in text_of(app, x__workers=2)


def test_queues_that_take_more_than_was_asked_for_are_noted() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).stage("x", workers=4, edge=ps.Edge(memory="1 MiB")).map(double).sink(print)
    assert "x takes 2 MiB instead of 1 MiB: 4 queues need at least 512 KiB each" in " ".join(text_of(app).split())


def test_sinks_that_share_a_worker_are_noted() -> None:
    app = ps.Pipeline("app")
    items = app.source(range(10))
    items.sink(Table("a", "db"))
    items.sink(Table("b", "db"))
    text = text_of(app)
    assert "3 stages, 2 workers" in text
    assert "a, b share the worker of a" in text
    assert "b  1 worker, in the worker of a" in text


def test_parsing_of_a_source_is_shown() -> None:
    app = ps.Pipeline("app")
    app.source(Texts()).sink(ps.discard())
    assert "\n  parse_json(Click)" in text_of(app)


def test_the_json_says_the_same() -> None:
    value = json.loads(small().plan().to_json())
    assert value["stages"]["x"]["workers"] == 2
    assert [node["name"] for node in value["stages"]["x"]["operators"]] == ["map(to_click)"]
    assert value["stages"]["clicks"]["sink"] == "clicks: db::clicks"
    assert value["edges"]["items->x"] == {
        "from": "items", "to": "x", "route": "hash", "key": "double", "in_turn": False, "queues": 2,
        "queue_bytes": 4 << 20, "memory_bytes": 8 << 20, "shape": "rows", "row_type": "int",
        "travels": "msgpack",
    }  # fmt: skip


def test_the_flowchart_has_a_box_for_each_stage_and_an_arrow_for_each_edge() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).stage("x", workers=2).key_by("a<b").map(lambda row: row).sink(ps.discard(), name="out")
    mistakes = [mistake.what for mistake in app.check()]
    assert len(mistakes) == 1, "an int has no fields"
    app = ps.Pipeline("app")
    app.source(numbers).map(lambda row: row).stage("x").key_by("a<b").map(str).sink(ps.discard(), name="out")
    assert app.plan().to_mermaid() == (
        "flowchart LR\n"
        '  s0(["numbers x1<br/>map(lambda)"])\n'
        '  s1["x x1<br/>map(str)"]\n'
        '  s2[("out x1")]\n'
        "  s0 -->|\"hash by 'a&lt;b'\"| s1\n"
        '  s1 -->|"balance"| s2\n'
    )


class Shade(enum.Enum):
    DARK = 1


class Painted(msgspec.Struct):
    shade: Shade


def paint(number: int) -> Painted:
    return Painted(Shade(number))


def as_text(row: Painted) -> str:
    return str(row)


def test_rows_that_are_pickled_are_shown_and_what_makes_them_so() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).map(paint).stage("y").map(as_text).sink(print, name="out")
    text = text_of(app)
    assert "from items: balance, 1 queue of 8 MiB, rows of Painted, pickled" in text
    assert "items->y are pickled, which takes several times as long as msgpack: Painted.shade is Shade" in " ".join(
        text.split()
    )
    assert "rows of str, pickled" not in text
    edges = json.loads(app.plan().to_json())["edges"]
    assert [edge["travels"] for edge in edges.values()] == ["pickle", "msgpack"]
