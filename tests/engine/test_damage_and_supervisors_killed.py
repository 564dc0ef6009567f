"""Bad rows in stages of coroutines and of batches: exact although the supervisor is killed and the next run resumes."""

from __future__ import annotations

import gzip
import json
import os
import signal
from pathlib import Path

import pytest
from engine_lines import Line
from engine_scripts import finish, processes_of, python, start, wait_for_ends, write

import penstock as ps
from penstock.engine import rundir

ROWS = 3000
SCRIPT = """
    import asyncio, os, sys, penstock as ps
    from penstock.connectors import files

    class Odd:
        def __init__(self, n):
            self.n, self.told = n, f"<{n}>"

        def __setstate__(self, state):
            if state["n"] % 7 == 3:
                raise ValueError("no such row")
            self.__dict__.update(state)

    def odd(line):
        return Odd(int(line))

    def hold():
        fd = os.open("heard", os.O_RDWR)
        os.write(fd, b"working\\n")
        os.close(fd)
        os.read(os.open("told", os.O_RDWR), 1)

    def work(row):
        if row.n == 1502 and HOLDS:
            hold()
        if row.n % 11 == 5:
            raise KeyError(row.n)
        return {"n": row.n}

    async def awaits(row):
        await asyncio.sleep(0.0005 * (row.n % 4))
        return work(row)

    def many(rows):
        return [work(row) for row in rows]

    WAY, HOLDS = sys.argv[1], sys.argv[2] == "hold"
    app = ps.Pipeline("steady")
    read = app.source(files.lines("in/*.gz", on_damaged="skip"), name="read").map(odd)
    small = ps.Edge(batch_rows=20)
    if WAY == "many":
        worked = read.stage("work", edge=small).map_many(many, rows=64, wait="20ms")
    else:
        worked = read.stage("work", concurrency=8, ordered=WAY == "ordered", edge=small).map(awaits)
    worked.sink(files.json_lines("out.jsonl", if_exists="append"), name="out")
    if __name__ == "__main__":
        report = app.run(run_dir="run", state_dir="state", progress=False)
        print(report.outcome, report.undelivered_rows, report.dead_letters)
"""


def _in(folder: Path) -> None:
    """Three files: lines that are no text among others, and one that breaks off."""
    (folder / "in").mkdir()
    parts: list[list[bytes]] = [[], [], []]
    for n in range(ROWS):
        parts[n * 3 // ROWS].append(b"%d\n" % n if n % 13 else b"%d\xff\n" % n)
    for number, part in enumerate(parts):
        (folder / "in" / f"{number}.gz").write_bytes(gzip.compress(b"".join(part)))
    (folder / "in" / "bad.gz").write_bytes(b"this is no gzip at all")


@pytest.mark.parametrize("way", ["async", "ordered", "many"])
def test_letters_and_rows_are_exact_when_the_supervisor_was_killed(
    tmp_path: Path, heard: Line, told: Line, way: str
) -> None:
    script = write(tmp_path, "steady.py", SCRIPT)
    _in(tmp_path)
    process = start(tmp_path, script.name, way, "hold")
    heard.hear()
    [found] = rundir.find_runs(tmp_path / "run")
    assert found.pid is not None
    pids = processes_of(found.path)
    os.kill(found.pid, signal.SIGKILL)
    wait_for_ends(pids - {process.pid})
    finish(process)
    done = python(tmp_path, script.name, way, "go on")
    no_text = [n for n in range(ROWS) if n % 13 == 0]
    undecoded = [n for n in range(ROWS) if n % 13 and n % 7 == 3]
    failed = [n for n in range(ROWS) if n % 13 and n % 7 != 3 and n % 11 == 5]
    bad = {*no_text, *undecoded, *failed}
    letters = list(ps.read_dead_letters("steady", state_dir=tmp_path / "state"))
    assert done.stdout == f"finished 0 {len(bad) + 1}\n", done.stderr
    rows = [json.loads(line)["n"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(rows) == [n for n in range(ROWS) if n not in bad]
    assert way == "many" or rows == sorted(rows)
    assert len(letters) == len(bad) + 1
    of_read = [letter for letter in letters if letter.stage == "read"]
    assert sum(isinstance(letter.row, str) and letter.row.endswith("bad.gz") for letter in of_read) == 1
    assert len(of_read) == len(no_text) + 1
    of_work = [letter for letter in letters if letter.stage == "work"]
    assert sorted(letter.error for letter in of_work if "KeyError" in letter.error) == sorted(
        f"KeyError: {n}" for n in failed
    )
    pickles = [letter.row_pickle for letter in of_work if "cannot be decoded" in letter.error]
    assert sorted(n for n in range(ROWS) if sum(b"<%d>" % n in data for data in pickles) == 1) == undecoded
    assert len(pickles) == len(undecoded)
