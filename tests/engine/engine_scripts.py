"""Programs of users, started as a user starts them, in a directory of their own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import penstock

SOURCE = str(Path(penstock.__file__).parents[1])
TIMEOUT_S = 60.0


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCE, "XDG_STATE_HOME": str(folder / "state")}


def write(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return path


def python(folder: Path, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *args], cwd=folder, env=environment(folder), input=stdin, capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False,
    )


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    """Start Python as the leader of a process group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, *args], cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, process_group=0,
    )


def processes_of(run_dir: Path) -> set[int]:
    """Supervisor, zygote and workers: the processes that have a file of the run directory open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = {os.readlink(fd) for fd in (process / "fd").iterdir()}
            mapped = (process / "maps").read_text()
        except OSError:  # it went meanwhile
            continue
        if f"{run_dir}/" in mapped or any(name.startswith(f"{run_dir}/") for name in opened):
            found.add(int(process.name))
    return found


def wait_for_ends(pids: set[int], timeout_s: float = 10.0) -> None:
    """Raises `TimeoutError` where one of the processes lives on."""
    deadline = time.monotonic() + timeout_s
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        ended = poll.poll(max(deadline - time.monotonic(), 0) * 1000)
        os.close(fd)
        if not ended:
            raise TimeoutError(f"process {pid} lives on: {Path(f'/proc/{pid}/cmdline').read_bytes()!r}")


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it wrote, once it has ended."""
    try:
        return process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def rows_in(text: str) -> list[Any]:
    """The numbers that a `print` sink wrote."""
    return [int(line) for line in text.split()]
