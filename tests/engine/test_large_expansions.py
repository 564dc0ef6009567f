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
from penstock.byte_files import DISK, DiskFiles, Files
from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.shared_file import by_calls
from penstock.slot.output import spool
from penstock.slot.output.expansion import Expansion, ExpansionTooLarge
from penstock.slot.time_and_chance import MACHINE, Clock
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
def test_rows_of_one_row_are_sent_in_pieces_and_memory_stays_small(where: Any, tmp_path: Path) -> None:
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


async def _awaited(n: int) -> int:
    return n


def _as_many(rows: list[Any]) -> list[Any]:
    return rows


LETTERS = ps.dead_letter(give_up_after=None)


@pytest.mark.timeout(300)
def test_an_endless_row_is_set_aside_at_the_limit_with_what_raises_it(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("endless")
    many = app.source(range(3), name="numbers").stage("many", row_output_max="40 MiB", retries=2, on_error=LETTERS)
    many.flat_map(_endless).sink(ps.discard(), name="out")
    report = app.run(**where)
    assert (report.stages["many"].rows_out, report.dead_letters) == (2, 1)
    [letter] = ps.read_dead_letters("endless", state_dir=where["state_dir"])
    assert letter.row == 1 and letter.attempts == 1, "another attempt would find the same"
    for part in ("one row has given", "`row_output_max` allows 40 MiB", "row_output_max='80 MiB'", "--set many.row_"):
        assert part in letter.error
    assert not list(tmp_path.rglob("spill.*"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["ordered", "async", "batch"])
def test_an_endless_row_is_set_aside_where_rows_must_wait_in_memory(where: Any, kind: str) -> None:
    app = ps.Pipeline("endless")
    stage = app.source(range(3), name="numbers").stage(
        "many", row_output_max="4 MiB", on_error=LETTERS, ordered=kind == "ordered"
    )
    if kind == "batch":
        stage = stage.map_many(_as_many)
    if kind == "async":
        stage = stage.map(_awaited)
    stage.flat_map(_endless).sink(ps.discard(), name="out")
    report = app.run(**where)
    assert (report.stages["many"].rows_out, report.dead_letters) == (2, 1)
    [letter] = ps.read_dead_letters("endless", state_dir=where["state_dir"])
    assert letter.row == 1 and "`row_output_max` allows 4 MiB" in letter.error


class Huge:
    """300 MiB of one row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, n: int) -> Iterator[bytes]:
        for i in range(300 if n == 1 else 1):
            yield i.to_bytes(2, "little") * (512 * 1024)
        (self.folder / f"peak.{n}").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


class Counted:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, row: bytes) -> None:
        with (self.folder / "rows").open("a") as file:
            file.write(f"{int.from_bytes(row[:2], 'little')} {len(row)}\n")


@pytest.mark.timeout(300)
def test_three_hundred_megabytes_of_one_row_take_little_memory(where: Any, tmp_path: Path) -> None:
    app = ps.Pipeline("huge")
    app.source(range(3), name="numbers").stage("many").flat_map(Huge(tmp_path)).sink(Counted(tmp_path), name="out")
    app.run(**where)
    assert sorted(_rows(tmp_path)) == sorted([(0, 1 << 20)] * 2 + [(i, 1 << 20) for i in range(300)])
    before, after = (int((tmp_path / f"peak.{n}").read_text()) for n in (0, 1))
    # The first 32 rows wait until their size is known.
    assert after - before < 150_000, "300 MiB of rows were not in memory at once"


class SmallRoom(DiskFiles):
    """A file system with 20 MiB left."""

    def room(self, folder: Path) -> int:
        return 20 * 1024 * 1024


def _made(folder: Path, most: int = 1 << 30, clock: Clock = MACHINE, files: Files = DISK) -> spool.Spool:
    return spool.Spool(folder, 0, Expansion("many", most, lambda: "numbers/7", clock), files)


def test_an_endless_row_ends_where_half_of_the_room_is_gone(tmp_path: Path) -> None:
    made = _made(tmp_path, files=SmallRoom())
    with pytest.raises(spool.GivesTooMuch):
        made.as_rows(_endless(1))
    made.begin()
    with pytest.raises(ExpansionTooLarge, match=r"only 20 MiB are left in .* larger place with run_dir"):
        made.as_rows(_endless(1))
    made.end(failed=True)
    assert not list(tmp_path.iterdir())


def test_a_row_that_takes_long_is_reported_with_its_stage_its_name_and_what_it_gave(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    made = _made(tmp_path, 64 * 1024 * 1024, Clock(now_s=lambda: now[0]))

    def slow() -> Iterator[str]:
        while True:
            now[0] += 0.01
            yield PAD

    with pytest.raises(spool.GivesTooMuch):
        made.as_rows(slow())
    told = caplog.messages[0]
    assert "stage many: one row has given" in told and "numbers/7" in told and "set aside at 64 MiB" in told
    caplog.clear()
    made.begin()
    with pytest.raises(ExpansionTooLarge, match="64 MiB"):
        made.as_rows(slow())
    made.end(failed=True)
    assert 2 <= len(caplog.messages) <= 12, "each time that twice the time has gone by"


@pytest.mark.parametrize("alone", [False, True])
def test_rows_that_grow_along_the_way_are_not_judged_by_the_size_of_the_first(tmp_path: Path, alone: bool) -> None:
    """32 small numbers, then megabytes: what had been asked for by the first ones would fill the memory."""
    taken = 0

    def growing() -> Iterator[Any]:
        nonlocal taken
        yield from range(5000)
        for _ in range(2000):
            taken += 1
            yield bytes(200_000)

    made = _made(tmp_path)
    if alone:
        made.begin()
        rows = made.as_rows(growing())
        assert isinstance(rows, spool.Spooled)
        pieces, offset = [], 0
        while (piece := spool.read_chunk(rows.path, offset)) is not None:
            pieces.append(sum(isinstance(row, bytes) for row in piece[0]))
            offset = piece[1]
        assert sum(pieces) == 2000 and max(pieces) < 1000
    else:
        with pytest.raises(spool.GivesTooMuch):
            made.as_rows(growing())
        assert taken <= 256


def test_a_batch_function_that_never_ends_is_an_error_of_its_rows(where: Any) -> None:
    app = ps.Pipeline("endless-many")
    app.source(range(3), name="numbers", on_error=LETTERS).map_many(_endless_many).sink(ps.discard(), name="out")
    report = app.run(**where)
    assert report.dead_letters == 3


def _endless_many(rows: list[int]) -> Iterator[int]:
    while True:
        yield 1
