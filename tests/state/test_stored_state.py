"""State on disk by rocksdict: what comes out is what comes out with all of it in memory, whoever dies when."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock import testing
from penstock.connectors import files
from penstock.errors import PipelineInvalid
from penstock.slot.state.slot_state import SlotState

pytest.importorskip("rocksdict")

KEYS = 300
Row = tuple[str, int]


def key_of(row: Row) -> str:
    return row[0]


def append(texts: list[str], row: Row) -> tuple[list[str], tuple[str, int, int]]:
    """A state of two kilobytes or so, changed in place."""
    texts = texts[-9:]
    texts.append(f"{row[1]:0200d}")
    return texts, (row[0], len(texts), sum(map(int, texts)))


class Kept(ps.KeyState):
    count = ps.ValueState(0)
    last = ps.ListState(int)
    seen = ps.MapState(int, int)


def visit(row: Row, state: Kept) -> list[tuple[Any, ...]]:
    state.count += 1
    state.last.append(row[1])
    if len(state.last) > 3:
        state.last.remove_first(1)
    state.seen[row[1] % 7] = row[1]
    if state.count == 11:
        given = [(row[0], "full", sum(state.seen.values()))]
        state.seen.clear()
        del state.count
        return given
    return [(row[0], state.count, sum(state.last), len(state.seen))]


def _rows(count: int) -> list[Row]:
    draw = random.Random(7)
    return [(f"key {draw.randrange(KEYS)}", n) for n in range(count)]


def _expected(rows: list[Row], verb: str) -> list[tuple[Any, ...]]:
    if verb == "scan":
        states: dict[str, list[str]] = {}
        given = []
        for row in rows:
            states[row[0]], out = append(states.get(row[0], []), row)
            given.append(out)
        return given
    kept = {f"key {n}": testing.key_state(Kept, f"key {n}") for n in range(KEYS)}
    return [out for row in rows for out in visit(row, kept[row[0]])]


def _app(rows: list[Row], verb: str, path: Path, state: ps.StateBackend) -> ps.Pipeline:
    app = ps.Pipeline("stored")
    work = app.source(rows, name="rows").stage("work", edge=ps.Edge(batch_rows=250), state=state).key_by(key_of)
    given: Any = work.scan([], append) if verb == "scan" else work.process(visit)
    given.sink(files.json_lines(path), name="out")
    return app


@pytest.mark.parametrize("verb", ["scan", "process"])
@pytest.mark.parametrize("at", ["before_commit", "after_commit", "after_publish"])
def test_a_worker_that_dies_finds_its_state_on_disk(verb: str, at: str, tmp_path: Path) -> None:
    rows = _rows(2_500)
    app = _app(rows, verb, tmp_path / "unused", ps.rocksdict(cache="1 MiB"))
    outcome = testing.run(app, {"rows": rows}, processes=True, crashes=[testing.crash("work", at=at, row=1500)])
    assert outcome.report.stages["work"].restarts == 1
    assert [tuple(row) for row in outcome.outputs["out"]] == _expected(rows, verb)


_LIMITED = """
import re, sys
from pathlib import Path
from penstock.slot.state.slot_state import SlotState

cache, base = int(sys.argv[1]), Path(sys.argv[2])
def opened(numbers):
    room = SlotState(caches={"s": cache} if cache else {})
    shelf = room.stage("s").of("scan").values("", bytes)
    room.open(base / "changelog", numbers, store=base / "state")
    return room, shelf

def peak_kib():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def commit(room):
    numbers = room.flush()
    room.committed()
    room.stage("s").undo.begin()
    return numbers

room, shelf = opened([])
usual = peak_kib()
for n in range(30_000):
    shelf.add(n, b"%02000d" % n)
    if n % 1000 == 999:
        numbers = commit(room)
for n in range(0, 30_000, 7):
    shelf.replace(shelf.find(n), b"%02000d" % -n)
    if n % 1000 == 0:
        numbers = commit(room)
numbers = commit(room)
room.close()
room, shelf = opened(numbers)
for n in range(30_000):
    assert shelf.find(n).value == b"%02000d" % (-n if n % 7 == 0 else n), n
    if n % 1000 == 999:
        commit(room)
print((peak_kib() - usual) // 1024)
"""


def _grown_mib(cache: int, folder: Path) -> int:
    """By how much a process grows that keeps 60 MB of state, reads it all after a restart, and may have so much."""
    folder.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(cache), str(folder)], capture_output=True, text=True, timeout=110
    )
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


def test_state_ten_times_as_large_as_the_cache_does_not_stay_in_memory(tmp_path: Path) -> None:
    assert _grown_mib(4 << 20, tmp_path / "stored") < 60  # RocksDB itself takes about 30
    assert _grown_mib(0, tmp_path / "in memory") > 90  # so the limit says something


def test_a_store_that_is_missing_or_of_another_log_is_made_anew(tmp_path: Path) -> None:
    def opened(numbers: list[int]) -> tuple[SlotState, Any]:
        room = SlotState(caches={"s": 1 << 20})
        shelf = room.stage("s").of("scan").values("", int)
        room.open(tmp_path / "changelog", numbers, store=tmp_path / "state")
        return room, shelf

    room, shelf = opened([])
    for n in range(30_000):
        shelf.add(n, n)
        if n % 500 == 499:
            numbers = room.flush()
            room.committed()
    room.close()
    assert sum(path.stat().st_size for path in (tmp_path / "state").iterdir()) > 100_000
    shutil.copytree(tmp_path / "state", tmp_path / "before")
    for damage in ("missing", "of a log that went on otherwise"):
        shutil.rmtree(tmp_path / "state")
        if damage != "missing":
            shutil.copytree(tmp_path / "before", tmp_path / "state")
            numbers = _log_of_others(tmp_path / "changelog.1", numbers)
        room, shelf = opened(numbers)
        if damage == "missing":
            assert {entry.key: entry.value for entry in shelf.all()} == {n: n for n in range(30_000)}
        else:
            assert {entry.key: entry.value for entry in shelf.all()} == {1: 7}
        room.close()


def _log_of_others(path: Path, numbers: list[int]) -> list[int]:
    """Put another log in the place of this one, just as long or longer."""
    path.unlink()
    room = SlotState()
    shelf = room.stage("s").of("scan").values("", int)
    room.open(path.with_name("changelog"), [])
    shelf.add(1, 0)
    grown = [0]
    while grown[-1] < numbers[-1]:
        shelf.replace(shelf.find(1), 7)  # type: ignore[arg-type]
        grown = room.flush()
        room.committed()
    room.close()
    return grown


def test_a_missing_package_is_a_mistake_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.plan.settings.find_spec", lambda name: None)
    app = ps.Pipeline("stored")
    work = app.source([("a", 1)]).stage("work", state=ps.rocksdict()).key_by(key_of)
    work.scan([], append).sink(print)
    with pytest.raises(PipelineInvalid, match=r"rocksdict is not installed.*\n?.*penstock\[rocksdict\]"):
        app.plan()


def test_the_place_of_state_is_an_option_that_can_be_set() -> None:
    app = ps.Pipeline("stored")
    work = app.source([("a", 1)]).stage("work", state=ps.rocksdict(cache="16 MiB")).key_by(key_of)
    work.scan([], append).sink(print, name="out")
    assert app.plan().stages["work"].settings.state_cache_bytes == 16 << 20
    assert app.plan(settings={"work.state": "memory"}).stages["work"].settings.state_cache_bytes == 0
    with pytest.raises(PipelineInvalid, match=r"no place for state; write ps\.rocksdict"):
        app.plan(settings={"work.state": "disk"})
