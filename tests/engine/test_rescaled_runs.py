"""Runs that are resumed with other numbers of workers, or another plan: rows, state and windows come out the same."""

from __future__ import annotations

import json
import random
import select
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from test_checkpointed_runs import Program, finish, lose_the_machine, lose_the_processes, until

import penstock as ps

pytestmark = pytest.mark.timeout(300)

ROWS = 30_000
KEYED = """
    import sys, time
    from pathlib import Path
    import penstock as ps
    from penstock.connectors import files

    ROWS, SLOW_S = int(sys.argv[1]), float(sys.argv[2])
    COUNT, TAG, STORE = map(int, Path("workers").read_text().split())

    def numbers():
        for x in range(ROWS):
            if SLOW_S and x % 100 == 0:
                time.sleep(SLOW_S)
            yield {"id": x, "key": x % 101, "at": x / 10}

    def count(seen, row):
        if SLOW_S and row["id"] % 97 == 0:
            time.sleep(SLOW_S)
        if row["id"] % 1000 == 7:
            raise ValueError("no")
        return seen + 1, {**row, "seen": seen + 1}

    failed = set()

    def tag(row):
        if row["id"] % 500 == 3 and row["id"] not in failed:
            failed.add(row["id"])
            raise OSError("once more")
        return row

    app = ps.Pipeline("lost")
    rows = app.source(numbers, name="ingest").stage("count", workers=COUNT, max_restarts="100000/m").key_by("key")
    counted = rows.scan(0, count)
    tagged = counted.stage("tag", workers=TAG, retries=3, retry_delay="0.3s", max_restarts="100000/m").map(tag)
    tagged.sink(files.json_lines("out/"), name="store", workers=STORE)
    by_key = counted.stage("windows", workers=COUNT, max_restarts="100000/m").key_by("key")
    windows = by_key.window(ps.tumbling("100s"), time="at", lateness="10s").aggregate(n=ps.count(), last=ps.max("seen"))
    windows.sink(files.json_lines("windows/"), name="windowed", workers=STORE)
    if __name__ == "__main__":
        store = ps.checkpoint("store", every="50ms") if "store" in sys.argv else None
        print(app.run(run_dir="run", state_dir="state", checkpoint=store).outcome, flush=True)
"""


class Keyed(Program):
    """Two keyed stages, retries, dead letters and sinks, with numbers of workers that change from run to run."""

    def __init__(self, folder: Path, *options: str, slow_s: float = 0.02, rows: int = ROWS) -> None:
        super().__init__(folder, rows, *options, slow_s=slow_s, program=KEYED)

    def with_workers(self, count: int, tag: int, store: int) -> subprocess.Popen[str]:
        (self.folder / "workers").write_text(f"{count} {tag} {store}")
        return self.start()

    def rows_of(self, name: str) -> list[dict[str, int]]:
        return [json.loads(line) for part in (self.folder / name).glob("part-*") for line in part.open()]

    def written(self) -> int:
        return sum(part.stat().st_size for part in (self.folder / "out").glob("part-*"))

    def require_exact(self) -> None:
        bad = [x for x in range(self.rows) if x % 1000 == 7]
        letters = ps.read_dead_letters("lost", state_dir=self.folder / "state")
        assert sorted(letter.row["id"] for letter in letters) == bad
        good = [x for x in range(self.rows) if x % 1000 != 7]
        rows, seen = self.rows_of("out"), Counter[int]()
        expected = []
        for x in good:
            seen[x % 101] += 1
            expected.append((x, seen[x % 101]))
        assert sorted((row["id"], row["seen"]) for row in rows) == expected
        windows = Counter((x % 101, x // 1000 * 100.0) for x in good)
        found = {(row["key"], row["start"]): row["n"] for row in self.rows_of("windows")}
        assert len(found) == len(self.rows_of("windows"))
        assert found == windows


def end(process: subprocess.Popen[str], how: str) -> None:
    process.send_signal(signal.SIGINT)
    if how == "stop":
        select.select([], [], [], 0.05)
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == -signal.SIGINT, err


@pytest.mark.parametrize("how", ["drain", "stop"])
def test_a_run_that_was_told_to_end_is_resumed_with_other_numbers_of_workers(tmp_path: Path, how: str) -> None:
    program = Keyed(tmp_path)
    for workers in ((1, 2, 1), (3, 1, 3), (2, 3, 1)):
        before = program.written()
        process = program.with_workers(*workers)
        until(lambda process=process, before=before: program.written() > before + 50_000 or process.poll() is not None)
        end(process, how)
    err = finish(program.with_workers(4, 2, 3))
    assert "stage count: workers 2 -> 4" in err
    program.require_exact()


def test_a_checkpoint_is_resumed_with_other_numbers_of_workers_when_the_machine_is_lost(tmp_path: Path) -> None:
    program, chance = Keyed(tmp_path, "store", slow_s=0.08), random.Random(11)
    for workers in ((4, 1, 2), (1, 3, 1), (3, 2, 3)):
        # The state directory, with all dead letters, is lost, too.
        shutil.rmtree(tmp_path / "state", ignore_errors=True)
        process, before = program.with_workers(*workers), program.newest()
        until(lambda process=process, before=before: program.newest() not in ("", before) or process.poll() is not None)
        select.select([], [], [], chance.random() * 0.3)
        assert process.poll() is None, process.communicate()
        lose_the_machine(program, process)
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    assert "stage count: workers 3 -> 2" in finish(program.with_workers(2, 2, 2))
    program.require_exact()


def test_queues_that_a_killed_run_left_are_resumed_with_other_numbers_of_workers(tmp_path: Path) -> None:
    program = Keyed(tmp_path)
    for workers in ((2, 1, 2), (3, 2, 1)):
        process, before = program.with_workers(*workers), program.written()
        until(lambda process=process, before=before: program.written() > before + 30_000 or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        lose_the_processes(program, process)
    assert "stage count: workers 3 -> 1" in finish(program.with_workers(1, 3, 2))
    program.require_exact()
