"""Standard input from a pipe: what a dead worker had read is lost with it, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from engine_scripts import environment

PROGRAM = """
import os
import time
from pathlib import Path
import penstock as ps
from penstock.connectors import files, stdio


def number(line: str) -> int:
    if line == "60":
        Path("died").touch()
        os.abort()
    if int(line) < 60:
        time.sleep(0.01)  # slow rows: most of the batch is committed when its worker dies
    return int(line)


app = ps.Pipeline("piped")
app.source(stdio.stdin()).map(number).sink(files.json_lines("out.jsonl"))
if __name__ == "__main__":
    report = app.run()
    print(report.dead_letters)
"""


def test_lines_that_come_after_a_death_are_all_there_and_none_is_set_aside_for_the_one_that_did_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "piped.py").write_text(PROGRAM)
    program = subprocess.Popen(
        [sys.executable, "piped.py"], cwd=tmp_path, env=environment(tmp_path), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert program.stdin is not None
    try:
        program.stdin.write("".join(f"{n}\n" for n in range(64)))
        program.stdin.flush()
        deadline = time.monotonic() + 60
        while not (tmp_path / "died").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        out, err = program.communicate("".join(f"{n}\n" for n in range(64, 164)), timeout=60)
    finally:
        program.kill()
        program.wait()
    assert program.returncode == 0, err
    assert out.strip() == "0", err
    rows = {int(line) for line in (tmp_path / "out.jsonl").read_text().split()}
    assert rows >= set(range(66, 164))  # a successor takes the first line that waits for the rest of a broken one
    assert 0 in rows and 60 not in rows
