"""A broker forgets what is acknowledged. With a store nothing is missing all the same, whatever is lost."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from test_checkpointed_runs import Program, finish, lose_the_machine, until

pytestmark = pytest.mark.timeout(300)

MESSAGES = 6000
PROGRAM = """
    import os, sys, time
    from pathlib import Path

    import penstock as ps
    from penstock.connectors import files
    from penstock.source import EndOfSplit, Reader, Source

    BROKER, BATCH = Path("broker"), 20

    class Broker(Source[int]):
        '''Messages have offsets; those before the one that is acknowledged are forgotten.'''

        def open(self, split, position, context):
            return Consumer(position or 0)

    class Consumer(Reader[int]):
        def __init__(self, at):
            self.at = at
            names = sorted(int(name) for name in os.listdir(BROKER))
            if self.at and (not names or names[0] > self.at) and self.at < int(sys.argv[1]):
                raise RuntimeError(f"messages from {self.at} on are wanted, and the broker has {names[:1]}")
            self.oldest = names[0] if names else 0

        def read(self):
            if self.at >= int(sys.argv[1]):
                raise EndOfSplit
            time.sleep(float(sys.argv[2]))
            rows = [int((BROKER / str(n)).read_text()) for n in range(self.at, self.at + BATCH)]
            self.at += len(rows)
            return rows

        def position(self):
            return self.at

        def acknowledge(self, position):
            if "acknowledging fails" in sys.argv and not Path("failed").exists():
                Path("failed").touch()
                raise ConnectionError("the broker is away")
            for n in range(self.oldest, position):
                (BROKER / str(n)).unlink()
            self.oldest = max(position, self.oldest)

    def tag(x):
        return {"id": x}

    app = ps.Pipeline("lost")
    rows = app.source(Broker(), name="consumer").stage("tag", workers=2, max_restarts="100000/m").map(tag)
    rows.sink(files.json_lines("out.jsonl"), name="store")
    if __name__ == "__main__":
        store = ps.checkpoint("store", every="50ms") if "store" in sys.argv else None
        print(app.run(run_dir="run", state_dir="state", checkpoint=store).outcome, flush=True)
"""


def program_of(folder: Path, *options: str) -> Program:
    (folder / "broker").mkdir()
    for number in range(MESSAGES):
        (folder / "broker" / str(number)).write_text(str(number))
    return Program(folder, MESSAGES, "store", *options, slow_s=0.01, program=PROGRAM)


def left(folder: Path) -> list[str]:
    return os.listdir(folder / "broker")


def ids(folder: Path) -> Counter[int]:
    with (folder / "out.jsonl").open() as lines:
        return Counter(json.loads(line)["id"] for line in lines)


def test_a_broker_forgets_only_what_a_durable_checkpoint_covers(tmp_path: Path) -> None:
    program = program_of(tmp_path)
    for _ in range(3):
        process, before = program.start(), len(left(tmp_path))
        until(lambda process=process, before=before: len(left(tmp_path)) < before - 200 or process.poll() is not None)
        if process.poll() is not None:
            break
        lose_the_machine(program, process)
    finish(program.start())
    assert ids(tmp_path) == Counter(range(MESSAGES))
    assert left(tmp_path) == []  # the last ones were waited for, too


def test_a_reader_that_cannot_acknowledge_is_opened_again_and_acknowledges_then(tmp_path: Path) -> None:
    program = program_of(tmp_path, "acknowledging fails")
    finish(program.start())
    assert ids(tmp_path) == Counter(range(MESSAGES))
    assert left(tmp_path) == []


def test_without_a_store_what_is_committed_is_acknowledged(tmp_path: Path) -> None:
    program_of(tmp_path)
    program = Program(tmp_path, MESSAGES, slow_s=0.0, program=PROGRAM)
    finish(program.start())
    assert left(tmp_path) == []
