"""The DuckDB sink under kill -9: rows and record agree after every death."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

KILLS = 30

# Forks its writers itself, so that duckdb and pyarrow are imported once and no connection is open at a fork.
PROGRAM = """
import os, random, select, signal, sys
import duckdb, pyarrow.compute, pyarrow.dataset
from penstock.connectors import duckdb as connector
from penstock.operator import Context

PATH, KILLS, ROWS = sys.argv[1], int(sys.argv[2]), 40
CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)
rng = random.Random(20)

def writer_of(key):
    return connector.table(PATH, "keyed" if key else "plain", key=key).writer(None, CONTEXT)

def check(writer, table):
    record = writer.last_record()
    turn = int(record) if record else 0
    if not turn:
        return 0
    question = f"SELECT count(*), count(DISTINCT (turn, j)), max(turn) FROM {table}"
    found = writer._cursor.execute(question).fetchall()
    rows = turn * ROWS if table == "plain" else ROWS
    assert found == [(rows, rows, turn)], (table, record, found)
    return turn

def live(bell):
    plain, keyed = writer_of(None), writer_of("j")
    turns = [check(plain, "plain"), check(keyed, "keyed")]
    os.write(bell, b"%d\\n" % turns[0])
    while True:
        for index, writer in enumerate((plain, keyed)):
            turns[index] += 1
            writer.write([{"turn": turns[index], "j": j, "text": "x" * 500} for j in range(ROWS)])
            writer.commit(b"%d" % turns[index])

reached = 0
for _ in range(KILLS + 1):
    bell, far = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(bell)
        try:
            live(far)
        finally:
            os._exit(1)
    os.close(far)
    # The bell is readable when the writer has checked what its predecessor left, or has died.
    said = os.read(bell, 100)
    assert said, "the writer failed"
    assert int(said) >= reached
    reached = int(said)
    select.select([], [], [], rng.uniform(0.0, 0.2))
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "the writer failed"
    os.close(bell)
print(reached)
"""


@pytest.mark.timeout(120)
def test_rows_and_record_agree_however_often_the_writer_is_killed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "out.duckdb"), str(KILLS)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


# Whoever writes a file beyond its limit dies by SIGXFSZ, there and then; Python ignores that signal unless told.
DIES_WHILE_WRITING = """
import resource, signal, sys
from penstock.connectors.duckdb.database import open_database

path, limit = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
database = open_database(path)
database.cursor().execute("CREATE TABLE t (n BIGINT)")
database.release()
"""


@pytest.mark.parametrize("written", [0, 4096, 8192])
def test_a_database_can_be_opened_though_the_first_worker_died_while_making_it(written: int, tmp_path: Path) -> None:
    path = tmp_path / "out.duckdb"
    dies, lives = (
        subprocess.run(
            [sys.executable, "-c", DIES_WHILE_WRITING, str(path), str(limit)], capture_output=True, text=True
        )
        for limit in (written, -1)
    )
    assert dies.returncode == -signal.SIGXFSZ, dies.stderr
    assert lives.returncode == 0, lives.stderr
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
