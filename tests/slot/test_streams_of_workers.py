"""What user code prints when the supervisor is gone is lost, and no error of the row that printed it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from penstock.plan.paths import SlotPaths

PROGRAM = """
import os, sys
from pathlib import Path
from penstock.plan.paths import SlotPaths
from penstock.slot.main import _connect_streams

_connect_streams(SlotPaths(Path(sys.argv[1])))
told, said = int(sys.argv[2]), int(sys.argv[3])
print("printed")
os.write(said, b"connected")
os.read(told, 1)
failed = 0
for number in range(100):
    try:
        print("printed", number)
        print("to stderr", number, file=sys.stderr)
        os.write(1, b"written\\n")
    except BrokenPipeError:
        failed += 1
os.write(said, b"%d failed" % failed)
os._exit(0)
"""


def test_printing_after_the_supervisor_is_gone_is_not_an_error_of_the_row(tmp_path: Path) -> None:
    files = SlotPaths(tmp_path)
    os.mkfifo(files.log)
    os.mkfifo(files.stdout)
    listening = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in (files.log, files.stdout)]
    told, tell = os.pipe()
    hear, said = os.pipe()
    worker = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(told), str(said)], pass_fds=(told, said)
    )
    os.close(said)
    assert os.read(hear, 100) == b"connected"
    assert os.read(listening[0], 100) == b"printed\n"
    for fd in listening:
        os.close(fd)
    os.write(tell, b"!")
    assert os.read(hear, 100) == b"0 failed"
    assert worker.wait() == 0
    for fd in (told, tell, hear):
        os.close(fd)
