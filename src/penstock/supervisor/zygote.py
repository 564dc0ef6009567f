"""The zygote: a small process with the plan's imports done, which forks a worker in milliseconds.

It has one thread of its own. Where importing has started others (`import_threads`), workers are started by exec.
It only imports: no pool, runtime, client or session may open before a fork. It reaps its children and tells the
supervisor how they ended, because a pidfd of a grandchild polls but cannot be waited for.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import msgspec

from penstock.channel.pickled_structs import keep_structs_as_they_are
from penstock.errors import PenstockError
from penstock.plan.paths import RunPaths
from penstock.program import at_home, import_program
from penstock.slot.main import live
from penstock.slot.process import lifeline, signals, stack
from penstock.slot.process.process_end import end_with
from penstock.slot.process.user_errors import one_line, user_traceback
from penstock.slot.records.life import Life
from penstock.supervisor import own_process
from penstock.supervisor.descriptors import raise_limit
from penstock.supervisor.import_threads import threads_of_import, told
from penstock.supervisor.outbox import Outbox
from penstock.supervisor.protocol import (
    IMPORT_S,
    Begin,
    Born,
    Died,
    ImportFailed,
    Inbox,
    NotBorn,
    Ready,
    Spawn,
    ToZygote,
    send,
)
from penstock.terminal_text import visible_lines


def main(socket_fd: int, run_dir: str) -> None:
    """The zygote's life: import, say so, fork on demand, until the supervisor is gone."""
    signals.settle()
    sock = socket.socket(fileno=socket_fd)
    inbox: Inbox[Begin | Spawn] = Inbox(sock, ToZygote)
    begin = _told_to_begin(inbox)
    paths = RunPaths(Path(run_dir))
    if begin is None or not lifeline.hold(paths.lifeline):
        return
    gc.enable()  # for the program, which may want it otherwise
    signals.give_back_to_children()
    own_pid = os.getpid()
    faulthandler.enable(2)  # a crash while importing shows where
    stack.show_after(IMPORT_S)
    try:
        import_program(at_home(pickle.loads(begin.program)))
        for name in begin.preload:
            _import_if_there(name)
    except BaseException as exc:  # whatever the user's module raises, exits included, is reported and ends this process
        _end_children_of_the_program(own_pid)
        send(sock, _import_failed(exc))
        return
    _end_children_of_the_program(own_pid)
    stack.show_no_more()
    faulthandler.disable()
    signals.settle()  # the program may have set its own
    raise_limit()
    keep_structs_as_they_are()  # once for all workers, which look at each class of the program otherwise
    # What is alive now is shared with every worker. Frozen, it is not written to, and so copied, by their collections.
    gc.collect()
    gc.freeze()
    threads = threads_of_import()
    send(sock, Ready(told(threads) if threads else ""))
    _Zygote(sock, inbox, paths, begin.program if threads else None).serve()


def _told_to_begin(inbox: Inbox[Begin | Spawn]) -> Begin | None:
    """Wait for it; None: there will be no run."""
    try:
        message = inbox.receive(wait=True)
    except EOFError:
        return None
    assert isinstance(message, Begin)
    return message


def _end_children_of_the_program(own_pid: int) -> None:
    """A process that the program forked when imported, and that came back from there, is no zygote."""
    if os.getpid() != own_pid:
        os._exit(0)


def _import_failed(error: BaseException) -> ImportFailed:
    if isinstance(error, PenstockError):
        return ImportFailed(str(error), "")  # it says where, and what to do
    reason = f"the program cannot be imported in a worker: {one_line(error)}"
    return ImportFailed(reason, user_traceback(error))


def _import_if_there(name: str) -> None:
    """Preloading saves time; what cannot be imported here is reported by whoever needs it."""
    try:
        importlib.import_module(name)
    except ImportError as exc:
        print(visible_lines(f"penstock: {name} cannot be imported in advance: {exc}"), file=sys.stderr)


class _Zygote:
    def __init__(
        self, sock: socket.socket, inbox: Inbox[Begin | Spawn], paths: RunPaths, by_exec: bytes | None
    ) -> None:
        """`by_exec`: the program for workers that must not be forked; None: they are."""
        self._sock = sock
        self._inbox = inbox
        self._paths = paths
        self._by_exec = by_exec
        self._outbox = Outbox(sock)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            poll.modify(self._sock, select.POLLIN | (select.POLLOUT if self._outbox.waiting else 0))
            for fd, _ in poll.poll():
                if fd == self._wake_read:
                    os.read(self._wake_read, 4096)
            self._outbox.send_some()
            self._reap()
            try:
                while isinstance(order := self._inbox.receive(), Spawn):
                    self._spawn(order)
            except EOFError:
                return

    def _spawn(self, order: Spawn) -> None:
        life = order.life
        try:
            pid = self._fork(order) if self._by_exec is None else self._exec(life, self._by_exec)
        except OSError as exc:
            self._outbox.put(NotBorn(life.group, life.slot, exc.errno or 0, exc.strerror or str(exc)))
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as exc:  # no descriptor is left; nobody could watch it
            os.kill(pid, signal.SIGKILL)
            self._outbox.put(NotBorn(life.group, life.slot, exc.errno or 0, exc.strerror or str(exc)))
            return
        self._outbox.put(Born(life.group, life.slot, life.attempt, pid), pidfd)

    def _fork(self, order: Spawn) -> int:
        with signals.held_back():
            pid = os.fork()
            if pid == 0:
                end_with(partial(self._become_worker, order))
        return pid

    def _exec(self, life: Life, program: bytes) -> int:
        import subprocess

        told = {"run_dir": str(self._paths.root), "life": msgspec.msgpack.encode(life), "program": program}
        process = own_process.start(
            "penstock.supervisor.exec_worker", told, str(self._paths.root), fds=[], stdout=subprocess.DEVNULL)
        # `_reap` takes its status; left open here, `subprocess` would try to take it, too.
        process.returncode = 0
        return process.pid

    def _become_worker(self, order: Spawn) -> int:
        """In the child: its exit code."""
        signal.set_wakeup_fd(-1)
        # Descriptors of the zygote in a worker would keep its socket open beyond its death: the supervisor would not
        # notice that it is gone before this worker is, too (trap 9).
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._sock.close()
        return live(self._paths.root, order.life)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            # Nobody else can take this status: the supervisor's pidfd only says that it is gone (trap 15).
            self._outbox.put(Died(pid, status, usage.ru_maxrss))
