"""Keeps a checkpointer: starts it, hears what it says, takes away what a dead one has pinned, and starts another one.

Its death costs the run nothing but the age of the newest checkpoint. What is decided by that age is decided here.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import FileUnusable, PenstockError, QueueDamaged
from penstock.plan.paths import RunPaths
from penstock.shared_file import by_calls
from penstock.slot.records.control import Control
from penstock.slot.records.life import FailureNote
from penstock.supervisor import own_process
from penstock.supervisor.environment import marked
from penstock.supervisor.notices import Notices
from penstock.supervisor.protocol import RunSpec
from penstock.supervisor.shutdown import Shutdown

if TYPE_CHECKING:
    from penstock.checkpoints.news import News
    from penstock.checkpoints.this_run import ThisRun

_STAGE = "checkpoint"
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 10.0
_LOOK_S = 1.0
_TOLD_AGAIN_S = 60.0
_MOST_PINNED_S = 10.0
"""So long a checkpointer may keep writers from room, stopped or stuck, before it is killed."""


def this_run(run_dir: Path, spec: RunSpec) -> ThisRun:
    """What a checkpointer is told of the run."""
    from penstock.checkpoints.this_run import ThisRun

    return ThisRun(str(run_dir), spec.pipeline, spec.run_id, spec.dead_letters, spec.layout, spec.outputs)


def start_checkpointer(
    run_dir: Path, spec: RunSpec, life: int, *, last: bool
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A process, and this end of the socket that its news come through."""
    from penstock.checkpoints.told import Told, told_as

    assert spec.checkpoint is not None
    wanted = spec.checkpoint
    told = Told(this_run(run_dir, spec), wanted.store, wanted.every_s, wanted.keep, life, last)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        process = own_process.start(
            "penstock.checkpoints.checkpointer", {**told_as(told), "socket_fd": theirs.fileno()}, str(run_dir),
            fds=[theirs.fileno()], env=marked(os.environ, spec.run_id), stdout=subprocess.DEVNULL,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    return process, ours


class CheckpointKeeper:
    """The checkpointers of one run, one after the other."""

    def __init__(
        self, spec: RunSpec, run_dir: Path, selector: selectors.BaseSelector, notices: Notices, shutdown: Shutdown,
        fail: Callable[[FailureNote], None],
    ) -> None:
        assert spec.checkpoint is not None
        self._spec = spec
        self._max_age_s = spec.checkpoint.max_age_s
        self._run_dir = run_dir
        self._selector = selector
        self._notices = notices
        self._shutdown = shutdown
        self._fail = fail
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._life = 0
        self._due = 0.0
        self._delay_s = _FIRST_DELAY_S
        self._newest_s = time.monotonic()
        """When the newest checkpoint was heard of; at first: when the first checkpointer was started."""
        self._made = False
        self._why = ""
        """Why the last attempt failed; empty: it did not."""
        self._told_at = -_TOLD_AGAIN_S
        self._pinned: tuple[int, float] = (0, 0.0)
        """What the control page says, and since when."""

    def due_in(self, now: float) -> Iterator[float]:
        """In how many seconds `tick` has something to do."""
        if not self._shutdown.leaving:
            yield _LOOK_S if self._process is not None else max(self._due - now, 0.05)

    def tick(self, now: float) -> None:
        """Once all workers were born: start one when it is time; look if one is stuck, and how old the newest is."""
        if self._shutdown.leaving:
            return
        if self._process is None:
            if now >= self._due:
                self._start()
            return
        self._look_at_pins(now)
        if self._max_age_s is not None and now > self._newest_s + self._max_age_s:
            self._fail(FailureNote(_STAGE, self._too_old()))

    def reap(self, pid: int) -> bool:
        """Take the exit status, if the process is the checkpointer."""
        if self._process is None or pid != self._process.pid:
            return False
        self._hear()  # what it said last
        status = self._process.wait()
        self._forget()
        self.release()
        now = time.monotonic()
        self._due = now + self._delay_s
        self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)
        if not self._shutdown.leaving:
            self._tell(f"the checkpointer died ({_how(status)}); restarting it")
        return True

    def close(self) -> None:
        """The run is over: whatever it was at is not needed, for the last checkpoint is taken without workers."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()
            self.release()

    def release(self) -> None:
        """Take away what a dead checkpointer has pinned."""
        from penstock.checkpoints.cut import release

        try:
            release(this_run(self._run_dir, self._spec).files())
        except (QueueDamaged, FileUnusable) as damage:
            self._fail(FailureNote("queues", str(damage)))

    def _too_old(self) -> str:
        limit = f"max_age={self._max_age_s:g} s"
        what = f"the newest checkpoint is older than {limit}"
        if not self._made:
            what = f"no checkpoint was made within {limit}"
        if not self._why:  # nothing is wrong with the store, as far as anybody has heard
            return f"{what}, and the store has reported no error: run again to resume, with a longer max_age"
        return f"{what}: {self._why}; fix the store and run again to resume, or choose a longer max_age"

    def _start(self) -> None:
        self._life += 1
        if self._life == 1:
            self._newest_s = time.monotonic()
        try:
            self._process, self._socket = start_checkpointer(self._run_dir, self._spec, self._life, last=False)
        except OSError as exc:
            self._due = time.monotonic() + _LONGEST_DELAY_S
            self._tell(f"the checkpointer cannot be started: {exc}")
            return
        self._selector.register(self._socket, selectors.EVENT_READ, self._hear)

    def _forget(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(KeyError):  # its end was heard
                self._selector.unregister(self._socket)
            self._socket.close()
        self._process = self._socket = None
        self._pinned = (0, 0.0)

    def _hear(self) -> None:
        from penstock.checkpoints.news import MOST_BYTES, decode

        while self._socket is not None:
            try:
                data = self._socket.recv(MOST_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionResetError:
                continue
            if not data:  # it has exited, and is reaped next
                if self._selector.get_map().get(self._socket) is not None:
                    self._selector.unregister(self._socket)
                return
            self._on_news(decode(data))

    def _on_news(self, news: News) -> None:
        from penstock.checkpoints.news import Failed, Made, Taken

        match news:
            case Made():
                if self._why:
                    self._notices.warn(f"checkpoints are taken again: {news.id}")
                if not self._made:
                    self._made = True
                    self._forget_positions()
                self._newest_s, self._why, self._delay_s = time.monotonic(), "", _FIRST_DELAY_S
            case Failed():
                self._why = news.why
                self._tell(f"no checkpoint: {news.why}; the run continues, and the next one is tried")
            case Taken():
                self._fail(FailureNote(_STAGE, news.why))

    def _forget_positions(self) -> None:
        """Those that the run resumed from are behind its first checkpoint, whatever the clocks of the two say."""
        place = Path(self._spec.positions)
        if self._spec.positions and place.is_dir():
            from penstock.checkpoints.positions import forget_positions

            try:
                forget_positions(place)
            except (PenstockError, OSError) as exc:
                self._notices.warn(f"where the run before stood cannot be removed from {place}: {exc}")

    def _look_at_pins(self, now: float) -> None:
        control = Control(RunPaths(self._run_dir).control, by_calls)
        try:
            pin = control.pin_word
        finally:
            control.close()
        if pin != self._pinned[0]:
            self._pinned = (pin, now)
        elif pin and now > self._pinned[1] + _MOST_PINNED_S and self._process is not None:
            from penstock.checkpoints.cut import holds_room

            if holds_room(this_run(self._run_dir, self._spec).files()):
                self._process.kill()

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        if now > self._told_at + _TOLD_AGAIN_S or not self._why:
            self._told_at = now
            self._notices.warn(text)


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit code {status}"
