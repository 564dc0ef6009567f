"""Signals that the caller blocks or ignores: a run neither hangs nor hands them on to what user code starts."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path

import pytest
from engine_scripts import python, write

SCRIPT = """
    import os, signal, subprocess, sys, penstock as ps
    from penstock.connectors import files

    BLOCKED, IGNORED = [[int(n) for n in text.split(",") if n] for text in sys.argv[1:3]]

    class Work:
        def open(self, context):
            self.context = context

        def __call__(self, x):
            if x == 300 and self.context.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if x == 399:
                started = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True)
                return {line.split(":")[0]: int(line.split()[1], 16) for line in started.stdout.splitlines()
                        if line.startswith(("SigBlk", "SigIgn"))}
            return x

    app = ps.Pipeline("inherited")
    app.source(range(400), name="numbers").stage("work").map(Work).sink(files.json_lines("out.jsonl"), name="store")
    if __name__ == "__main__":
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        print(app.run(run_dir="run", progress=False).outcome)
"""
# Not among the valid ones are 32 and 33: the C library keeps them for its threads, and `sigaction` refuses them. Who
# starts with one of them ignored cannot set it back, and hands it on to every program that it starts.
SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
CAN_BE_SET = sum(1 << number - 1 for number in SIGNALS)
"""As a mask of `/proc/<pid>/status`."""
CHOICES = [(SIGNALS, SIGNALS)] + [
    tuple(sorted(dice.sample(SIGNALS, dice.randrange(len(SIGNALS)))) for _ in ("blocked", "ignored"))
    for dice in map(random.Random, range(4))
]


@pytest.mark.parametrize(("blocked", "ignored"), CHOICES)
def test_whatever_the_caller_blocks_or_ignores_a_death_is_seen_and_programs_start_clean(
    tmp_path: Path, blocked: list[int], ignored: list[int]
) -> None:
    write(tmp_path, "inherited.py", SCRIPT)
    ran: subprocess.CompletedProcess[str] = python(
        tmp_path, "inherited.py", ",".join(map(str, blocked)), ",".join(map(str, ignored))
    )
    assert ran.stdout == "finished\n", ran.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[:-1] == list(range(399))
    assert {name: mask & CAN_BE_SET for name, mask in rows[-1].items()} == {"SigBlk": 0, "SigIgn": 0}
