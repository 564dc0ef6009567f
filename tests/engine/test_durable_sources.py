"""A source that cannot be read again, with a journal: what it gave outlives processes and the machine."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from engine_scripts import environment
from test_checkpointed_runs import Program, finish, lose_the_machine, lose_the_processes, until

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
    import sys, time
    import penstock as ps
    from penstock.connectors import files, stdio

    def tag(line):
        if int(line) % 50 == 0:
            time.sleep(float(sys.argv[2]))
        return {"id": int(line)}

    app = ps.Pipeline("lost")
    rows = app.source(stdio.stdin(), name="ingest", durable="journal").stage("tag", workers=2).map(tag)
    rows.sink(files.json_lines("out.jsonl"), name="store")
    if __name__ == "__main__":
        store = ps.checkpoint("store", every="50ms") if "store" in sys.argv else None
        print(app.run(run_dir="run", state_dir="state", checkpoint=store).outcome, flush=True)
"""


class Piped(Program):
    """Its rows come through a pipe, and are gone once they are read."""

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "app.py", str(self.rows), str(self.slow_s), *self.options, *more], cwd=self.folder,
            env=environment(self.folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )

    def holds(self, line: int) -> bool:
        """True: the journal has this line, and so all before it."""
        return any(b"\n%d\n" % line in path.read_bytes() for path in self.folder.glob("journal/*/*/journal.*"))


def send(process: subprocess.Popen[str], first: int, stop: int) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{n}\n" for n in range(first, stop)))
    process.stdin.flush()


@pytest.mark.parametrize("lost", ["the machine", "the processes"])
def test_no_line_of_a_pipe_is_lost_or_repeated_once_the_journal_has_it(tmp_path: Path, lost: str) -> None:
    program = Piped(tmp_path, 3000, "store", slow_s=0.02, program=PROGRAM)
    process = program.start()
    send(process, 0, 2000)
    until(lambda: program.newest() and program.holds(1999))
    (lose_the_machine if lost == "the machine" else lose_the_processes)(program, process)
    process = program.start()
    send(process, 2000, 3000)
    finish(process)
    assert program.ids() == Counter(range(3000))
    assert not list(tmp_path.glob("journal/*"))  # the run is over: nobody reads them again
