"""Runs one measured program and watches its whole process tree: memory, processor time, and what others used meanwhile.

`side_by_side` runs many of them in turn. What a program found it tells by `measure.result`.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import measure

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 2.0
"""How long what a program left behind may take to leave by itself."""


def adopt_orphans() -> None:
    """Become the parent of what measured programs leave behind, so that it can be counted and ended."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, limit_s: float = 300.0, look_every_s: float = 0.4
) -> dict[str, Any]:
    """What the program told, with `cpu_s`, `pss_mib` (at its peak), `wall_s` and `others` (cores used by others).

    Raises `measure.RunFailed`.
    """
    began, busy, used = time.monotonic(), measure.busy_s(), _cpu_of_children_s()
    own = time.process_time()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        program = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdout=out, stderr=err, start_new_session=True
        )
        with _Watch(look_every_s) as watch:
            try:
                program.wait(limit_s)
            except subprocess.TimeoutExpired:
                err.write(f"\nnot done after {limit_s} s")
            finally:
                _end_all_below(0.0 if program.returncode is None else _PATIENCE_S)
                program.poll()
        out.seek(0)
        err.seek(0)
        told = _told(out.read())
        if told is None:
            raise measure.RunFailed(f"{' '.join(command)} ended with {program.returncode}: {err.read()[-1500:]}")
    wall_s = time.monotonic() - began
    cpu_s = max(_cpu_of_children_s() - used, watch.cpu_s)
    others = (measure.busy_s() - busy - cpu_s - (time.process_time() - own)) / wall_s
    seen = {"cpu_s": round(cpu_s, 2), "pss_mib": watch.pss_bytes >> 20, "processes": watch.processes}
    return {**told, **seen, "wall_s": round(wall_s, 2), "others": round(others, 3)}


def _told(output: str) -> dict[str, Any] | None:
    for line in reversed(output.splitlines()):
        if line.startswith("RESULT "):
            found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return found
    return None


class _Watch:
    """Looks at the processes below this one, now and then, in a thread."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._cpu_s: dict[int, float] = {}
        self.pss_bytes = 0
        self.processes = 0

    @property
    def cpu_s(self) -> float:
        """A lower bound, for processes that nobody waits for."""
        return sum(self._cpu_s.values())

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(self._every_s):
            pids = _below()
            self._cpu_s.update({pid: measure.cpu_s([pid]) for pid in pids})
            self.pss_bytes = max(self.pss_bytes, measure.pss_bytes(pids))
            self.processes = max(self.processes, len(pids))


def _below() -> list[int]:
    return measure.family(os.getpid())[1:]


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end_all_below(patience_s: float) -> None:
    """Wait for what is still there, and kill what does not leave."""
    deadline = time.monotonic() + patience_s
    while left := _reaped_and_left():
        if time.monotonic() > deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            deadline += _PATIENCE_S
        time.sleep(0.02)


def _reaped_and_left() -> list[int]:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return []
    return _below()
