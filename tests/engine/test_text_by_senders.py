"""Rows for a sink of text are encoded by the stage before it; what a user sees is as if the sink had done it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock.connectors import files


class Opaque:
    """Travels by pickle, and has no JSON."""


def every_tenth_is_opaque(n: int) -> Any:
    return {"n": n, "what": Opaque() if n % 10 == 0 else None}


def app_of(path: Path, **options: Any) -> ps.Pipeline:
    app = ps.Pipeline("text-by-senders")
    app.source(range(1_000)).stage("make", workers=2).map(every_tenth_is_opaque).sink(
        files.json_lines(path), name="lines", **options
    )
    return app


def test_a_row_without_text_is_set_aside_for_the_sink_and_the_others_are_written(tmp_path: Path) -> None:
    report = app_of(tmp_path / "out.jsonl").run(state_dir=tmp_path, progress=False)
    written = sorted(msgspec.json.decode(line)["n"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines())
    assert written == [n for n in range(1_000) if n % 10]
    assert report.dead_letters == 100
    assert (report.stages["lines"].dead_letters, report.stages["make"].dead_letters) == (100, 0)
    assert report.stages["lines"].rows_in == report.stages["lines"].rows_out == 900
    letters = list(ps.read_dead_letters("text-by-senders", state_dir=tmp_path))
    assert {letter.stage for letter in letters} == {"lines"}
    assert all("rejected by the sink" in letter.error and "Opaque" in letter.error for letter in letters)


def test_the_policy_of_the_sink_counts(tmp_path: Path) -> None:
    report = app_of(tmp_path / "out.jsonl", on_error=ps.skip()).run(state_dir=tmp_path, progress=False)
    assert report.dead_letters == 0
    assert (report.stages["lines"].skipped, report.stages["make"].skipped) == (100, 0)
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 900


def test_a_sink_that_has_text_for_no_row_at_all_fails_the_run(tmp_path: Path) -> None:
    app = ps.Pipeline("no-text")
    target = files.json_lines(tmp_path / "x", if_exists="overwrite")
    app.source(range(10_000)).stage("make").map(lambda n: Opaque()).sink(target, name="lines")
    with pytest.raises(ps.PipelineFailed, match="no row has ever succeeded") as failed:
        app.run(state_dir=tmp_path, progress=False)
    assert failed.value.stage == "lines"
    app.run(state_dir=tmp_path, progress=False, settings={"lines.on_error": "skip"}, fresh=True)


def test_where_every_worker_gets_every_row_each_refuses_for_itself(tmp_path: Path) -> None:
    app = ps.Pipeline("text-for-all")
    made = app.source(range(10)).stage("make").map(every_tenth_is_opaque)
    made.stage("all", workers=2).broadcast().sink(files.json_lines(f"{tmp_path}/out/"), fused=True)
    report = app.run(state_dir=tmp_path, progress=False)
    assert report.stages["make"].rows_out == 10
    assert (report.stages["all"].rows_in, report.stages["all"].rows_out, report.dead_letters) == (20, 18, 2)
