"""What stays of a run that has ended in order: its positions, if its input was not through, and its last checkpoint."""

from __future__ import annotations

import select
import subprocess
import time
from pathlib import Path

from msgspec.structs import replace

from penstock.checkpoints.news import MOST_BYTES, Failed, Made, Taken, decode
from penstock.checkpoints.positions import forget_positions, keep_positions
from penstock.errors import PenstockError
from penstock.supervisor.caller_link import CallerLink
from penstock.supervisor.checkpoint_keeper import start_checkpointer, this_run
from penstock.supervisor.protocol import Ended, Notice, RunSpec

_LAST_S = 60.0


def keep_or_forget(root: Path, spec: RunSpec, ended: Ended, caller: CallerLink) -> Ended:
    """Before the run directory goes. A run that was told to end leaves positions; one that is through leaves none.

    The last checkpoint of a run that is through says so. Whoever hears of the end tells the store that it was heard.
    """
    if spec.checkpoint is not None:
        made = _take_last(root, spec, caller)
        if made is not None and ended.outcome == "finished":
            ended = replace(ended, last_checkpoint=(int(made.id), made.lineage))
    if not spec.positions:
        return ended
    place = Path(spec.positions)
    try:
        if ended.outcome in ("drained", "stopped"):
            keep_positions(this_run(root, spec), place)
            return replace(ended, kept=True)
        forget_positions(place)
    except (PenstockError, OSError) as exc:
        caller.say(Notice("WARNING", f"where the run stood is not kept in {place}: {exc}"))
    return ended


def _take_last(root: Path, spec: RunSpec, caller: CallerLink) -> Made | None:
    """None: there is none, which was told."""
    why = "it took too long"
    try:
        process, sock = start_checkpointer(root, spec, 0x7FFF_FFFF, last=True)
    except OSError as exc:
        caller.say(Notice("WARNING", f"no last checkpoint: {exc}"))
        return None
    try:
        until = time.monotonic() + _LAST_S
        while select.select([sock], [], [], max(until - time.monotonic(), 0.0))[0]:
            data = sock.recv(MOST_BYTES)
            news = decode(data) if data else None
            match news:
                case Made():
                    return news
                case Failed() | Taken():
                    why = news.why
                case None:
                    break
    except ConnectionResetError:
        why = "the checkpointer died"
    finally:
        sock.close()
        _end(process)
    caller.say(Notice("WARNING", f"no last checkpoint: {why}; the newest one in the store is older than the run's end"))
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
