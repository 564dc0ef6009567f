"""Building: lines are recorded, nothing runs, streams are values, and what only the caller reads needs no sink."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import penstock as ps
from penstock import program
from penstock.engine import engine
from penstock.pipeline import plan_of_connectors_unasked
from penstock.plan.plan import Plan


def double(n: int) -> int:
    return 2 * n


def test_each_call_of_a_chain_has_the_line_of_its_own_name() -> None:
    first = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]
    app = ps.Pipeline("app")
    stream = (
        app.source([1])
        .stage("x")
        .map(double)
        .filter(
            bool,
        )
    )
    stream.sink(print)
    plan = app.plan()
    lines = [int(node.operator.where.rpartition(":")[2]) for node in plan.stages["x"].nodes]
    assert lines == [first + 3, first + 4]
    assert int(plan.stages["x"].where.rpartition(":")[2]) == first + 2


def test_building_calls_nothing_of_the_users() -> None:
    class Explosive:
        def __init__(self) -> None:
            raise AssertionError("made while building")

        def __call__(self, row: int) -> int:
            raise AssertionError("called while building")

    def source() -> list[int]:
        raise AssertionError("called while building")

    app = ps.Pipeline("app")
    app.source(source).map(Explosive).sink(print)
    app.check()
    app.plan()


def test_a_stream_used_twice_is_a_branch_in_its_stage_and_an_edge_to_each_stage() -> None:
    app = ps.Pipeline("app")
    doubled = app.source([1]).map(double)
    doubled.map(str).sink(print)
    doubled.stage("more").map(double).sink(ps.discard())
    plan = app.plan()
    assert [(node.operator.name, node.parent) for node in plan.stages["items"].nodes] == [
        ("map(double)", -1),
        ("map(str)", 0),
    ]
    assert [(output.node, output.edge) for output in plan.stages["items"].outputs] == [
        (1, "items->stdout"),
        (0, "items->more"),
    ]


class Started:
    """Stands in for the engine: keeps the plans it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plans: list[Plan] = []
        monkeypatch.setattr(engine, "results", self._keep)
        monkeypatch.setattr(engine, "run", self._keep)
        monkeypatch.setattr(engine, "start", self._keep)

    def _keep(self, plan: Plan, **_: Any) -> None:
        self.plans.append(plan)


def test_results_add_a_stage_that_the_caller_reads_beside_all_other_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Started(monkeypatch)
    app = ps.Pipeline("app")
    doubled = app.source([1]).stage("x").map(double)
    doubled.sink(print)
    doubled.results(settings={"x.workers": "3"})
    [plan] = started.plans
    assert list(plan.stages) == ["items", "x", "stdout", "results"]
    assert plan.stages["results"].caller
    assert not plan.stages["stdout"].caller
    assert plan.stages["x"].settings.workers == 3
    assert [edge.name for edge in plan.inputs("results")] == ["x->results"]


def test_a_cell_that_reads_results_can_be_run_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Started(monkeypatch)
    app = ps.Pipeline("app")
    items = app.source([1])
    for _ in range(3):
        items.stage("x").map(double).filter(bool).results()
    assert [list(plan.stages) for plan in started.plans] == [["items", "x", "results"]] * 3


def test_what_only_results_read_is_left_out_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    Started(monkeypatch)
    app = ps.Pipeline("app")
    items = app.source([1])
    items.sink(print)
    items.stage("peek").map(double).results()
    assert list(app.check()) == []
    assert list(app.plan().stages) == ["items", "stdout"]


def test_a_stream_that_nobody_reads_is_a_mistake_also_for_results() -> None:
    app = ps.Pipeline("app")
    items = app.source([1])
    items.map(double)
    with pytest.raises(ps.PipelineInvalid, match=r"map\(double\) go nowhere"):
        items.results()


def test_a_stage_called_results_is_a_mistake_once_results_are_read() -> None:
    app = ps.Pipeline("app")
    stream = app.source([1]).stage("results").map(double)
    with pytest.raises(ps.PipelineInvalid, match="belongs to results"):
        stream.results()


@pytest.mark.parametrize("verb", ["run", "start"])
def test_running_while_the_file_is_imported_is_refused_with_the_guard(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_importing", True)
    app = ps.Pipeline("app")
    app.source([1]).sink(print)
    with pytest.raises(ps.PenstockError, match="__main__"):
        getattr(app, verb)()


def test_reading_results_while_the_file_is_imported_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_importing", True)
    with pytest.raises(ps.PenstockError, match="guard it"):
        ps.Pipeline("app").source([1]).results()


@pytest.mark.parametrize("verb", ["run", "start"])
def test_run_and_start_raise_all_mistakes(verb: str) -> None:
    app = ps.Pipeline("app")
    app.source([1]).map(double)
    app.source([2], name="more").stage("x")
    with pytest.raises(ps.PipelineInvalid) as caught:
        getattr(app, verb)()
    assert len(caught.value.mistakes) == 2


def test_importing_penstock_loads_neither_the_checks_nor_anything_optional() -> None:
    program_text = (
        "import sys, penstock\n"
        "heavy = {'cloudpickle', 'asyncio', 'pyarrow', 'duckdb', 'polars', 'pandas', 'numpy', 'click'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "assert 'penstock.plan.planner' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program_text], check=True, timeout=60)


class Unreachable(ps.Source[int]):
    def check_source(self) -> list[str]:
        raise AssertionError("asked")

    def open(self, split: Any, position: Any, context: ps.Context) -> Any:
        raise NotImplementedError


def test_a_plan_for_tests_asks_no_connector_but_has_all_other_mistakes() -> None:
    app = ps.Pipeline("app")
    source = app.source(Unreachable())
    source.sink(print)
    assert list(plan_of_connectors_unasked(app).stages) == ["unreachable", "stdout"]
    source.map(double)
    with pytest.raises(ps.PipelineInvalid, match="go nowhere"):
        plan_of_connectors_unasked(app)


def test_every_public_name_is_there() -> None:
    assert [name for name in ps.__all__ if not hasattr(ps, name)] == []


SCRIPT = """
import threading
import penstock as ps

lock = threading.Lock()

def guarded(n: int) -> int:
    with lock:
        return n

app = ps.Pipeline("script")
app.source([1]).map(guarded).map(lambda n: guarded(n)).sink(print)
assert list(app.check()) == [], app.check()

app = ps.Pipeline("script")
app.source([1]).map(lambda n: lock.locked()).sink(print)
[found] = app.check()
assert "its variable `lock` (_thread.lock)" in found.what, found
"""


def test_globals_of_a_script_travel_with_a_lambda_but_not_with_what_workers_import(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], check=False, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
