"""A row from which very much comes: all of it or nothing, in bounded memory, whoever is killed on the way."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.shared_file import by_calls
from penstock.slot import spool
from penstock.testing import ListSink

PAD = "x" * 10_000
LARGE = 6_000


def _many(n: int) -> Iterator[tuple[int, int, str]]:
    for i in range(LARGE if n == 3 else 2):
        yield n, i, PAD


class Noted:
    """Writes down what comes, without its padding, and how large its process ever was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, row: tuple[int, int, str]) -> None:
        with (self.folder / "rows").open("a") as file:
            file.write(f"{row[0]} {row[1]}\n")


def _rows(folder: Path) -> list[tuple[int, int]]:
    lines = (folder / "rows").read_text().splitlines()
    return [(int(n), int(i)) for n, i in map(str.split, lines)]


EXPECTED = [(n, i) for n in range(6) for i in range(LARGE if n == 3 else 2)]


class Peak:
    """Gives rows and says how much memory its process had at most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, n: int) -> Iterator[tuple[int, int, str]]:
        yield from _many(n)
        (self.folder / f"peak.{n}").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


@pytest.mark.timeout(300)
def test_rows_of_one_row_go_on_in_pieces_and_memory_stays_small(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("large")
    app.source(range(6), name="numbers").stage("many").flat_map(Peak(tmp_path)).sink(Noted(tmp_path), name="out")
    report = app.run(**where)
    assert sorted(_rows(tmp_path)) == EXPECTED
    assert (report.stages["many"].rows_out, report.stages["many"].retries) == (len(EXPECTED), 0)
    before, after = (int((tmp_path / f"peak.{n}").read_text()) for n in (2, 3))
    assert after - before < 40_000, "60 MB of rows were not in memory at once"
    assert not list(tmp_path.rglob("spill.*"))


class KilledWhileSent:
    """Kills its worker at some rows, once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, row: tuple[int, int, str]) -> tuple[int, int, str]:
        seen = self.folder / f"seen.{row[1]}"
        if row[1] in (700, 2500, 5000) and not seen.exists():
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return row


class Killing:
    """Gives many rows; a neighbour's file says when its own worker dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, n: int) -> Iterator[tuple[int, int, str]]:
        for row in _many(n):
            seen = self.folder / "seen.making"
            if row[1] == 4000 and not seen.exists():
                seen.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield row


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_when_workers_die_while_rows_are_made_and_sent(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("large")
    made = app.source(range(6), name="numbers").stage("many").flat_map(Killing(tmp_path)).map(_as_it_is)
    kept = made.stage("next").map(KilledWhileSent(tmp_path)).map(_short)
    out = ListSink[tuple[int, int]]()
    kept.sink(out, name="out")
    handle = app.start(**where)
    with handle:
        _kill_while_sending(handle, where)
        handle.wait(timeout="200s")
    assert sorted(out.rows) == EXPECTED


def _as_it_is(row: tuple[int, int, str]) -> tuple[int, int, str]:
    return row


def _short(row: tuple[int, int, str]) -> tuple[int, int]:
    return row[0], row[1]


def _kill_while_sending(handle: Any, where: Any) -> None:
    """Kill the sending worker a few times once its file is there."""
    for _ in range(3):
        while not list(handle.run_dir.glob("slots/many.0/spill.*")):
            if handle.wait_a_while(0.01):
                return
        before = handle.status().stages["many"].rows_out
        while handle.status().stages["many"].rows_out <= before:
            if handle.wait_a_while(0.01):
                return
        for pid in _workers(handle.run_dir, "many"):
            os.kill(pid, signal.SIGKILL)


def _workers(run_dir: Path, stage: str) -> list[int]:
    page = Page(run_dir / "slots" / f"{stage}.0" / f"{stage}.page", by_calls, writable=False)
    pid = int(page.words[Word.PID])
    page.close()
    return [pid] if pid else []


def _half_way(n: int) -> Iterator[str]:
    for _ in range(3000):
        yield PAD
    if n == 1:
        raise ValueError("half-way")


def test_a_row_that_gives_much_and_raises_leaves_nothing(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("large")
    app.source([1], name="numbers", on_error=ps.dead_letter(give_up_after=None)).flat_map(_half_way).sink(
        ps.discard(), name="out"
    )
    report = app.run(**where)
    assert (report.stages["numbers"].rows_out, report.dead_letters) == (0, 1)
    assert not list(tmp_path.rglob("spill.*"))


def _endless(n: int) -> Iterator[Any]:
    yield "first"
    while n == 1:
        yield PAD


def test_an_endless_row_is_told_and_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_room", lambda folder: 40 * 1024 * 1024)
    made = spool.Spool(tmp_path, 0)
    with pytest.raises(spool.GivesTooMuch):
        made.as_rows(_endless(1))
    made.begin()
    with pytest.raises(spool.ExpansionTooLarge, match="went on"):
        made.as_rows(_endless(1))
    made.end(failed=True)
    assert not list(tmp_path.iterdir())
