"""What a run says to the person who started it, where neither a report nor a sink does."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from engine_scripts import python, write

import penstock as ps
from penstock.engine import make_run, rundir


def _with_a_bad_row() -> ps.Pipeline:
    app = ps.Pipeline("words")
    app.source(["1", "two", "3"]).stage("parse").map(int).sink(ps.discard())
    return app


def test_rows_set_aside_are_told_where_nobody_prints_the_report(where: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _with_a_bad_row().run(**where)
    assert caplog.messages == ["words: 1 row set aside; look at them: penstock dead-letters list words"]


def test_they_are_not_told_twice_where_somebody_does(where: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        report = _with_a_bad_row().run(**where, progress=False)
    assert caplog.messages == []
    assert "look at dead letters: penstock dead-letters list words" in str(report)


@pytest.mark.parametrize("call", ["app.run()", "list(doubled.results())"])
def test_a_script_without_guard_is_told_the_line_and_leaves_nothing(tmp_path: Path, call: str) -> None:
    write(tmp_path, "bare.py", f"""
        import penstock as ps
        app = ps.Pipeline("bare")
        doubled = app.source(range(3)).stage("double").map(lambda n: 2 * n)
        doubled.sink(print)
        {call}
    """)
    done = python(tmp_path, "bare.py")
    assert done.returncode == 1
    said = done.stderr[done.stderr.rindex("PipelineFailed"):]
    assert said.startswith("PipelineFailed: bare.py:6: ")
    assert 'guard it: write `if __name__ == "__main__":` above it' in said
    assert [run.name for run in rundir.find_runs() if run.cwd == str(tmp_path)] == []


def test_a_module_that_breaks_in_the_workers_alone_is_told_with_the_users_frames(tmp_path: Path) -> None:
    write(tmp_path, "fragile.py", """
        import penstock as ps
        if __name__ != "__main__":
            raise RuntimeError("not here")
        app = ps.Pipeline("fragile")
        app.source(range(3)).stage("double").map(lambda n: 2 * n).sink(print)
        app.run()
    """)
    said = python(tmp_path, "fragile.py").stderr
    failed = said[said.rindex("PipelineFailed"):]
    assert "the program cannot be imported in a worker: RuntimeError: not here" in failed
    assert f'File "{tmp_path}/fragile.py", line 4, in <module>' in failed
    assert f"penstock{os.sep}supervisor" not in failed
    assert [run.name for run in rundir.find_runs() if run.cwd == str(tmp_path)] == []


def test_a_run_directory_that_cannot_be_made_is_named(where: Any) -> None:
    with pytest.raises(ps.NoRunDirectory, match="choose another place with `--run-dir`") as raised:
        _with_a_bad_row().run(run_dir="/proc/no-such-place", state_dir=where["state_dir"])
    assert raised.value.path.is_relative_to("/proc/no-such-place")


def test_a_place_without_room_is_told_with_what_it_has_and_what_it_would_take(where: Any) -> None:
    with pytest.raises(ps.NoRunDirectory, match=r"GiB of room, and this pipeline's queues need 1\.\d PiB|MiB|TiB"):
        _with_a_bad_row().run(**where, settings={"parse.edge.memory": "1000 TiB"})
    assert rundir.find_runs(where["run_dir"]) == []


def test_a_place_that_fills_up_meanwhile_is_not_reported_as_a_bug(where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(make_run, "create_queue", full)
    with pytest.raises(ps.NoRunDirectory, match="too little room for 16"):
        _with_a_bad_row().run(**where)
    assert rundir.find_runs(where["run_dir"]) == []
