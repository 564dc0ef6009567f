"""A start that is interrupted, or that forks, or that finds no room for a thread, leaves nothing that outlives it."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.engine.handle import Handle
from penstock.engine.results import Results
from penstock.engine.run_lock import Held
from penstock.supervisor.stragglers import _marked_with
from penstock.testing import ListSink

ROWS = list(range(20))
PATIENCE_S = 60.0


class _FailsIf:
    def __init__(self, there: Path) -> None:
        self.there = there

    def __call__(self, row: int) -> int:
        if row == ROWS[-1] and self.there.exists():
            raise ValueError("not yet")
        return row


def test_the_zygote_of_a_run_that_resumes_is_no_straggler_of_the_one_before(
    where: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It bears the same mark, and is there before the caller has looked for stragglers."""
    there = tmp_path / "there"
    there.touch()
    app, out = ps.Pipeline("resumes"), ListSink[int]()
    app.source(ROWS).stage("work", on_error=ps.fail()).map(_FailsIf(there)).sink(out)
    with pytest.raises(ps.PipelineFailed):
        app.run(**where)
    there.unlink()
    start = Held.start_supervisor

    def started(held: Held, path: Path, run_id: str) -> None:
        start(held, path, run_id)
        deadline = time.monotonic() + PATIENCE_S
        while not _marked_with(run_id):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    monkeypatch.setattr(Held, "start_supervisor", started)
    assert app.run(**where).outcome == "finished"
    assert "resumes what" in caplog.text
    assert "killed" not in caplog.text
    assert out.rows == ROWS


class _ForksInPrepare(ListSink[int]):
    """The child says which sockets it has."""

    def __init__(self, told: Path) -> None:
        super().__init__()
        self.told = told

    def prepare(self) -> None:
        super().prepare()
        child = os.fork()
        if child == 0:
            try:
                self.told.write_text(" ".join(_sockets()))
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def _sockets() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # that of the listing
            continue
    return {name for name in found if name.startswith("socket:")}


def test_what_an_endpoint_forks_while_the_run_is_made_has_no_line_to_the_supervisor(where: Any, tmp_path: Path) -> None:
    """Else the supervisor of a run that is given up waits for this child."""
    told, before = tmp_path / "told", _sockets()
    app, out = ps.Pipeline("forks-early"), _ForksInPrepare(told)
    app.source(ROWS).sink(out)
    app.run(**where)
    assert set(told.read_text().split()) <= before
    assert out.rows == ROWS


def _runs_again(app: ps.Pipeline, out: ListSink[int], where: Any) -> None:
    assert app.run(**where).outcome == "finished"
    assert out.rows == ROWS


def _raised_by(call: Callable[[], object]) -> BaseException | None:
    """What it raises, in good time."""
    raised: list[BaseException] = []

    def called() -> None:
        try:
            call()
        except BaseException as exc:
            raised.append(exc)

    thread = threading.Thread(target=called, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    return raised[0] if raised else None


def test_a_run_that_cannot_be_handed_over_is_refused(where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system limits how many descriptors of a user are under way in sockets."""

    def refuses(*_: object) -> int:
        raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))

    app, out = ps.Pipeline("not-handed-over"), ListSink[int]()
    app.source(ROWS).sink(out)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "send_fds", refuses)
        raised = _raised_by(lambda: app.start(**where))
    assert isinstance(raised, OSError)
    assert raised.errno == errno.ETOOMANYREFS
    _runs_again(app, out, where)


def test_where_no_thread_can_be_started_the_run_is_given_up(where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    app, out = ps.Pipeline("no-thread"), ListSink[int]()
    app.source(ROWS).sink(out)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuses)
        with pytest.raises(RuntimeError, match="new thread"):
            app.start(**where)
    _runs_again(app, out, where)


def _interrupts(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_start_that_is_interrupted_leaves_no_run_behind(where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has a handle of it."""
    app, out = ps.Pipeline("start-interrupted"), ListSink[int]()
    app.source(ROWS).sink(out)
    with monkeypatch.context() as patched:
        patched.setattr(Handle, "wait_until_running", _interrupts)
        with pytest.raises(KeyboardInterrupt):
            app.start(**where)
    _runs_again(app, out, where)


def test_results_that_are_interrupted_while_they_start_leave_no_run_behind(
    where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ps.Pipeline("results-interrupted").source(ROWS)
    with monkeypatch.context() as patched:
        patched.setattr(Results, "__init__", _interrupts)
        with pytest.raises(KeyboardInterrupt):
            rows.results(**where)
    assert list(rows.results(**where)) == ROWS
