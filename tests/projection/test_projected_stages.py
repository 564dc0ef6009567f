"""Stages that decode only what they read: nobody can tell from outputs, errors, dead letters or retries."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from drawn_functions import Row, functions, rows
from hypothesis import given, note, settings
from hypothesis import strategies as st

import penstock as ps
from penstock import testing
from penstock.plan.projection import Projection, projection_of
from penstock.slot import assembly

KEEPS_ALL = ps.dead_letter(give_up_after=None)


def without_projection(monkeypatch: pytest.MonkeyPatch, outcome: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "projection_of", lambda plan, stage: None)
        return outcome()


def told(app: ps.Pipeline, given: list[Row]) -> Any:
    """All that there is to see of a run. Retries come after pauses of random length, so their order is no matter."""
    outcome = testing.run(app, {"rows": given})
    letters = sorted(
        (letter.stage, letter.operator, letter.error, letter.attempts, repr(letter.row))
        for letter in outcome.dead_letters
    )
    outputs = {name: sorted(map(repr, given)) for name, given in outcome.outputs.items()}
    counts = {name: (stage.rows_in, stage.rows_out) for name, stage in outcome.report.stages.items()}
    return outputs, letters, counts


def drawn_app(given: list[Row], verbs: list[tuple[str, Any]], key: Any, retries: int) -> ps.Pipeline:
    app = ps.Pipeline("drawn")
    stream: Any = app.source(given, name="rows").stage("look", retries=retries, on_error=KEEPS_ALL)
    stream = stream.filter(lambda row: row.c < 6)
    branches = []
    for verb, fn in verbs:
        stream = getattr(stream, verb)(fn) if verb != "each" else stream
        if verb == "each":
            stream.sink(fn, name=f"each{len(branches)}", on_error=KEEPS_ALL)
        branches.append(stream)
    behind = branches[0].stage("behind", workers=2, on_error=KEEPS_ALL)
    behind = behind if key is None else behind.key_by(key)
    behind.filter(lambda row: True).sink(ps.discard(), name="first")
    stream.stage("last", on_error=KEEPS_ALL).map(repr).sink(ps.discard(), name="second")
    return app


_VERBS = st.one_of(
    functions(keeps=True).map(lambda fn: ("filter", fn)), functions(keeps=True).map(lambda fn: ("filter", fn)),
    functions().map(lambda fn: ("map", fn)), functions().map(lambda fn: ("flat_map", lambda row: [fn(row)])),
    functions().map(lambda fn: ("each", fn)),
)  # fmt: skip


@settings(max_examples=60)
@given(
    given=st.lists(rows(), min_size=1, max_size=6), verbs=st.lists(_VERBS, min_size=1, max_size=3),
    key=st.one_of(st.none(), st.sampled_from(["a", "b"]), functions()), retries=st.integers(0, 1),
)  # fmt: skip
def test_a_run_is_the_same_as_one_that_decodes_every_row(
    given: list[Row], verbs: list[tuple[str, Any]], key: Any, retries: int
) -> None:
    app = drawn_app(given, verbs, key, retries)
    plan = app.plan()
    note("\n".join(f"{verb}: {fn.__doc__}" for verb, fn in verbs))
    note({name: projection_of(plan, stage) for name, stage in plan.stages.items()})
    with pytest.MonkeyPatch.context() as monkeypatch:
        whole = without_projection(monkeypatch, lambda: told(app, given))
    assert told(app, given) == whole


class Visit(msgspec.Struct):
    user: str
    status: int
    path: str = "/"
    times: list[int] = []


VISITS = [Visit(f"u{number % 3}", 200 + number % 4 * 100, f"/{number}", [number]) for number in range(40)]


def failed(visit: Visit) -> bool:
    return visit.status >= 500


def shown(visit: Visit) -> str:
    return f"{visit.user} {visit.path}"


def projected(app: ps.Pipeline, stage: str) -> Projection | None:
    plan = app.plan()
    return projection_of(plan, plan.stages[stage])


def visits() -> Any:
    app = ps.Pipeline("visits")
    return app, app.source(VISITS, name="rows")


def test_a_stage_reads_the_keys_by_which_it_sends_rows_and_the_plan_says_so() -> None:
    app, stream = visits()
    errors = stream.stage("errors").filter(failed)
    errors.stage("count", workers=2).key_by("user").map(str).sink(ps.discard(), name="out")
    assert projected(app, "errors") == Projection(Visit, ("user", "status"), True)
    assert "  decodes user, status of each row, and passes it on as it came\n" in app.plan().to_text()
    value = json.loads(app.plan().to_json())["stages"]
    assert [value[name]["decodes"] for name in ("rows", "errors", "count")] == ["rows", ["user", "status"], "rows"]
    wanted = sorted(str(visit) for visit in VISITS if failed(visit))
    assert sorted(testing.run(app, {"rows": VISITS}).outputs["out"]) == wanted


def test_the_rest_of_a_stage_need_not_read_what_its_other_branches_read() -> None:
    app, stream = visits()
    look = stream.stage("look")
    look.sink(ps.discard(), name="all")
    look.filter(failed).sink(ps.discard(), name="errors")
    look.map(shown).sink(ps.discard(), name="shown")
    assert projected(app, "look") == Projection(Visit, ("user", "status", "path"), True)
    outputs = testing.run(app, {"rows": VISITS}).outputs
    assert outputs == {"all": VISITS, "errors": list(filter(failed, VISITS)), "shown": list(map(shown, VISITS))}


def test_a_filter_reads_what_its_function_reads() -> None:
    app, stream = visits()
    stream.stage("errors").filter(failed).sink(ps.discard(), name="out")
    assert projected(app, "errors") == Projection(Visit, ("status",), True)
    outcome = testing.run(app, {"rows": VISITS})
    assert outcome.outputs["out"] == [visit for visit in VISITS if visit.status >= 500]


def test_a_map_reads_what_its_function_reads() -> None:
    app, stream = visits()
    stream.stage("show").map(shown).sink(ps.discard(), name="out")
    assert projected(app, "show") == Projection(Visit, ("user", "path"), False)
    assert testing.run(app, {"rows": VISITS}).outputs["out"] == list(map(shown, VISITS))


def test_a_stage_reads_the_times_of_its_rows() -> None:
    app, stream = visits()
    timed = stream.stage("look").event_time("status").filter(lambda visit: visit.user != "u1")
    timed.sink(ps.discard(), name="kept")
    stream.stage("show").map(shown).event_time(lambda text: len(text)).sink(ps.discard(), name="shown")
    assert projected(app, "look") == Projection(Visit, ("user", "status"), True)
    assert projected(app, "show") == Projection(Visit, ("user", "path"), False)
    outputs = testing.run(app, {"rows": VISITS}).outputs
    kept = [visit for visit in VISITS if visit.user != "u1"]
    assert outputs == {"kept": kept, "shown": list(map(shown, VISITS))}


class Wide(ps.Sink[Visit]):
    """Writes its rows itself."""

    def writer(self, position: Any, context: ps.Context) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    "opened",
    [
        lambda stage: stage.map(lambda visit: visit).sink(ps.discard(), name="out"),
        lambda stage: stage.filter(failed).map(str).sink(ps.discard(), name="out"),
        lambda stage: stage.filter(lambda visit: len(visit.times)).sink(ps.discard(), name="out"),
        lambda stage: stage.filter(failed).sink(Wide(), fused=True),
        lambda stage: stage.map_many(lambda rows: [row.user for row in rows]).sink(ps.discard(), name="out"),
        lambda stage: stage.filter(failed).stage("x").key_by(lambda row: (row, 1)).map(str).sink(ps.discard()),
    ],
    ids=["returns it", "behind a filter", "a list, which may be changed", "to a sink of its own", "batches", "its key"],
)
def test_a_stage_that_needs_whole_rows(opened: Callable[[Any], Any]) -> None:
    app, stream = visits()
    opened(stream.stage("look"))
    assert projected(app, "look") is None


def test_rows_of_several_classes_are_decoded() -> None:
    class Other(msgspec.Struct):
        user: str

    app, stream = visits()
    other = app.source([Other("x")], name="others")
    stream.merge(other).stage("look").filter(lambda row: row.user).sink(ps.discard(), name="out")
    assert projected(app, "look") is None


def picky(visit: Visit) -> bool:
    if visit.status == 300:
        raise ValueError(f"300 of {visit.user}")
    return True


@pytest.mark.parametrize("processes", [False, True])
def test_a_row_that_fails_is_set_aside_whole(processes: bool) -> None:
    app, stream = visits()
    stream.stage("pick", retries=1, retry_delay="1ms", on_error=KEEPS_ALL).filter(picky).sink(ps.discard(), name="out")
    assert projected(app, "pick") == Projection(Visit, ("user", "status"), True)
    outcome = testing.run(app, {"rows": VISITS}, processes=processes)
    assert sorted(outcome.outputs["out"], key=repr) == sorted((v for v in VISITS if v.status != 300), key=repr)
    wrong = [visit for visit in VISITS if visit.status == 300]
    assert sorted((letter.row for letter in outcome.dead_letters), key=repr) == sorted(wrong, key=repr)
    assert {letter.attempts for letter in outcome.dead_letters} == {2}


def test_the_end_of_a_stage_shows_the_whole_row() -> None:
    app, stream = visits()
    stream.stage("pick", on_error=ps.fail()).filter(picky).sink(ps.discard(), name="out")
    with pytest.raises(ps.PipelineFailed) as caught:
        testing.run(app, {"rows": VISITS})
    assert repr(VISITS[1]) in str(caught.value)


def key_of(visit: Visit) -> Any:
    return [visit.user] if visit.status == 300 else visit.user


def test_a_row_without_a_key_is_set_aside_whole() -> None:
    app, stream = visits()
    relay = stream.stage("relay").filter(lambda visit: visit.status > 0)
    relay.stage("count", workers=2, on_error=KEEPS_ALL).key_by(key_of).map(str).sink(ps.discard(), name="out")
    assert projected(app, "relay") == Projection(Visit, ("user", "status"), True)
    outcome = testing.run(app, {"rows": VISITS})
    assert [letter.row for letter in outcome.dead_letters] == [visit for visit in VISITS if visit.status == 300]


def test_killed_workers_lose_and_repeat_nothing() -> None:
    app, stream = visits()
    kept = stream.stage("errors", workers=2).filter(failed).stage("count", workers=2).key_by("user")
    kept.filter(lambda visit: visit.user != "u9").sink(ps.discard(), name="out")
    given = VISITS * 200
    crashes = [testing.crash("errors", at="before_commit"), testing.crash("count", at="after_append")]
    outcome = testing.run(app, {"rows": given}, processes=True, crashes=crashes)
    assert sorted(map(repr, outcome.outputs["out"])) == sorted(repr(visit) for visit in given if failed(visit))


class Click(msgspec.Struct):
    user: str
    at: float
    ms: int
    path: str = "/"


CLICKS = [Click(f"u{number % 3}", number / 2 - number % 5 * 4, number % 7, f"/{number}") for number in range(200)]
WINDOW = ps.tumbling("10s")


def counted(seen: int, click: Click) -> tuple[int, tuple[str, int]]:
    return seen + 1, (click.user, seen)


KEYED: dict[str, tuple[Callable[[Any], Any], set[str] | None]] = {
    "sums": (lambda w: w.aggregate(n=ps.count(), ms=ps.sum("ms"), slow=ps.max(lambda click: -click.ms)), {"ms"}),
    "counts": (lambda w: w.aggregate(n=ps.count()), set()),
    "a function": (lambda w: w.aggregate(n=ps.mean(lambda click: click.ms)), {"ms"}),
    "late rows": (lambda w: w.late, set()),
    "rows": (lambda w: w.aggregate(first=ps.first()), None),
    "collected": (lambda w: w.collect(), None),
    "a function of rows": (lambda w: w.aggregate(most=ps.max(lambda click: repr(click))), None),
}


def clicks_app(build: Callable[[Any], Any]) -> ps.Pipeline:
    app = ps.Pipeline("clicks")
    timed = app.source(CLICKS, name="rows").stage("times").event_time("at", disorder="5s")
    build(timed.stage("work", workers=2).key_by("user")).sink(ps.discard(), name="out")
    return app


@pytest.mark.parametrize("name", KEYED)
def test_windows_read_keys_times_and_what_they_aggregate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, fields = KEYED[name]
    app = clicks_app(lambda keyed: build(keyed.window(WINDOW)))
    found = projected(app, "work")
    read = {"at"} if name == "late rows" else {"user", "at"}
    assert (found and set(found.fields)) == (None if fields is None else fields | read)
    assert told(app, CLICKS) == without_projection(monkeypatch, lambda: told(app, CLICKS))


@pytest.mark.parametrize(
    "window", [ps.sliding("10s", every="5s"), ps.session("3s"), ps.count_window(4)], ids=["sliding", "session", "count"]
)
def test_every_kind_of_window_reads_only_that(window: ps.Window, monkeypatch: pytest.MonkeyPatch) -> None:
    app = clicks_app(lambda keyed: keyed.window(window).aggregate(n=ps.count(), ms=ps.sum("ms")))
    found = projected(app, "work")
    assert found is not None
    assert found.fields == ("user", "at", "ms")
    assert told(app, CLICKS) == without_projection(monkeypatch, lambda: told(app, CLICKS))


@pytest.mark.parametrize(
    ("build", "fields"),
    [
        (lambda keyed: keyed.scan(0, counted), ("user",)),
        (lambda keyed: keyed.scan(0, lambda seen, click: (seen + 1, click)), None),
        (lambda keyed: keyed.dedupe(within="3s"), ("user", "at")),
        (lambda keyed: keyed.filter(lambda click: click.ms > 2).map(shown_click), ("user", "ms")),
    ],
    ids=["scan", "a scan that gives the row", "dedupe", "a filter and a map"],
)  # fmt: skip
def test_keyed_verbs_read_their_keys(
    build: Callable[[Any], Any], fields: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = clicks_app(build)
    found = projected(app, "work")
    assert (found and found.fields) == fields
    assert told(app, CLICKS) == without_projection(monkeypatch, lambda: told(app, CLICKS))


def shown_click(click: Click) -> str:
    return f"{click.user} {click.ms}"
