"""Children that user code forks: however they leave, there is one worker in each slot, and each row is there once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.connectors import files

CHILDREN = 6


def _returns(row: int) -> int:
    return row


def _raises(row: int) -> int:
    raise OSError(f"no such program, says the child of {row}")


def _exits(row: int) -> int:
    sys.exit(3)


def _interrupts(row: int) -> int:
    raise KeyboardInterrupt


def _execs(row: int) -> int:
    os.execv("/nonexistent/convert", ["convert"])


LEAVES = [_returns, _raises, _exits, _interrupts, _execs]


class Forks:
    """A row function that forks for some rows; the child leaves in its way, and the parent takes its exit code."""

    def __init__(self, leave: Callable[[int], int], codes: Path) -> None:
        self.leave, self.codes = leave, codes

    def __call__(self, row: int) -> int:
        if row % 200 == 50:
            try:
                pid = os.fork()
            except OSError as error:  # no room for a process now: then rows are called for again, in halves
                self.codes.with_name("refused").write_text(str(error))
                raise
            if pid == 0:
                return self.leave(row)
            _, status = os.waitpid(pid, 0)
            with self.codes.open("a") as file:
                file.write(f"{status}\n")
        return row


class ForksAsync(Forks):
    async def __call__(self, row: int) -> int:  # type: ignore[override]
        return super().__call__(row)


class ForksBatch(Forks):
    def __call__(self, rows: list[int]) -> list[int]:  # type: ignore[override]
        worker, done = os.getpid(), []
        for row in rows:
            done.append(super().__call__(row))
            if os.getpid() != worker:
                return rows  # a child that went on would fork for the rows behind this one, which nobody counts
        return done


def _rows(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "out.jsonl").read_text().split()]


@pytest.mark.parametrize("kind", ["map", "timed", "async", "batch", "ordered"])
@pytest.mark.parametrize("leave", LEAVES)
def test_a_forked_child_never_processes_the_next_rows(
    where: Any, tmp_path: Path, leave: Callable[[int], int], kind: str
) -> None:
    codes = tmp_path / "codes"
    app = ps.Pipeline("forks")
    options: dict[str, Any] = {"timed": {"timeout": "20s"}, "ordered": {"ordered": True}}.get(kind, {})
    stage = app.source(range(CHILDREN * 200), name="numbers").stage("work", workers=2, **options)
    match kind:
        case "async":
            out = stage.map(ForksAsync(leave, codes))
        case "batch":
            out = stage.map_many(ForksBatch(leave, codes))
        case _:
            out = stage.map(Forks(leave, codes))
    out.sink(files.json_lines(tmp_path / "out.jsonl"), name="store")
    report = app.run(**where)
    assert sorted(_rows(tmp_path)) == list(range(CHILDREN * 200))
    assert report.dead_letters == 0
    expected = {_returns: 0, _exits: 3 << 8}.get(leave, 1 << 8)
    seen = [int(status) for status in codes.read_text().split()]
    assert set(seen) == {expected}
    # A function of many rows is called again for the same rows where it raised, in halves, and by a successor.
    again = kind == "batch" and (codes.with_name("refused").exists() or report.stages["work"].restarts)
    assert len(seen) >= CHILDREN if again else len(seen) == CHILDREN


class ForkingSource:
    def __call__(self) -> Iterator[int]:
        for row in range(300):
            if row == 100 and os.fork() == 0:
                return
            yield row


def test_a_child_forked_by_a_source_never_reads_on(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("forking-source")
    app.source(ForkingSource(), name="numbers").sink(files.json_lines(tmp_path / "out.jsonl"), name="store")
    app.run(**where)
    assert _rows(tmp_path) == list(range(300))


class ForkingOpen:
    def open(self, context: ps.Context) -> None:
        if os.fork() == 0:
            raise RuntimeError("the child of open")

    def __call__(self, row: int) -> int:
        return row


def test_a_child_forked_by_open_is_not_a_second_worker(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("forking-open")
    stage = app.source(range(300), name="numbers").stage("work", workers=2).map(ForkingOpen())
    stage.sink(files.json_lines(tmp_path / "out.jsonl"), name="store")
    report = app.run(**where)
    assert sorted(_rows(tmp_path)) == list(range(300))
    assert report.stages["work"].restarts == 0


def _square(x: int) -> int:
    return x * x


def _with_a_pool(row: int) -> int:
    with multiprocessing.get_context("fork").Pool(2) as pool:  # leaving it ends its processes by SIGTERM
        return sum(pool.map(_square, range(row)))


def test_a_pool_of_processes_inside_a_row_function_works(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("pools")
    app.source(range(8), name="numbers").stage("work").map(_with_a_pool).sink(
        files.json_lines(tmp_path / "out.jsonl"), name="store"
    )
    app.run(**where)
    assert _rows(tmp_path) == [sum(_square(x) for x in range(row)) for row in range(8)]


def _asks_a_child(number: int) -> str:
    """How a forked child ends by a signal: `-SIGTERM`, or the code that it gave by itself."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.sigtimedwait([], 5)
        finally:
            os._exit(7)
    os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else str(os.WEXITSTATUS(status))


def test_forked_children_obey_signals_that_their_worker_does_not(where: Any, tmp_path: Path) -> None:
    numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
    app = ps.Pipeline("signals")
    app.source([int(number) for number in numbers], name="numbers").stage("work").map(_asks_a_child).sink(
        files.json_lines(tmp_path / "out.jsonl"), name="store"
    )
    app.run(**where)
    assert (tmp_path / "out.jsonl").read_text().split() == [f'"{number.name}"' for number in numbers]
