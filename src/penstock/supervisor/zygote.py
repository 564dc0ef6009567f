"""The zygote: a small process with the plan's imports done, which forks a worker in milliseconds.

It has one thread of its own; some libraries start idle ones at import, which a fork leaves behind.
It only imports: no pool, runtime, client or session may open before a fork. It reaps its children and tells the
supervisor how they ended, for a pidfd of a grandchild polls but cannot be waited for.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from pathlib import Path

from penstock.errors import PenstockError
from penstock.plan.paths import RunPaths
from penstock.program import Program, import_program
from penstock.slot import lifeline, signals
from penstock.slot.main import live
from penstock.slot.user_errors import one_line, user_traceback
from penstock.supervisor.protocol import Born, Died, ImportFailed, Inbox, Ready, Spawn, packets, send
from penstock.terminal_text import visible_lines


def main(socket_fd: int, run_dir: str, program: bytes, preload: list[str]) -> None:
    """The zygote's life: import, say so, fork on demand, until the supervisor is gone."""
    sock = socket.socket(fileno=socket_fd)
    paths = RunPaths(Path(run_dir))
    if not lifeline.hold(paths.lifeline):
        return
    signals.settle()
    signals.give_back_to_children()
    own_pid = os.getpid()
    try:
        import_program(_at_home(pickle.loads(program)))
        for name in preload:
            _import_if_there(name)
    except BaseException as exc:  # whatever the user's module raises, exits included, is reported and ends this process
        _end_children_of_the_program(own_pid)
        send(sock, _import_failed(exc))
        return
    _end_children_of_the_program(own_pid)
    signals.settle()  # the program may have set its own
    gc.collect()
    gc.freeze()
    send(sock, Ready())
    _Zygote(sock, paths).serve()


def _at_home(program: Program) -> Program:
    """Give this process what the program finds in the calling one: from here on, imports are the user's."""
    os.chdir(program.cwd)
    sys.argv[:] = program.argv
    sys.path[:] = program.sys_path
    for name in program.shadowed:
        sys.modules.pop(name, None)
    return program


def _end_children_of_the_program(own_pid: int) -> None:
    """A process that the program forked when imported, and that came back from there, is no zygote."""
    if os.getpid() != own_pid:
        os._exit(0)


def _import_failed(error: BaseException) -> ImportFailed:
    if isinstance(error, PenstockError):
        return ImportFailed(str(error), "")  # it says where, and what to do
    reason = f"the program cannot be imported in a worker: {one_line(error)}"
    return ImportFailed(reason, user_traceback(error)[-100_000:])


def _import_if_there(name: str) -> None:
    """Preloading saves time; what cannot be imported here is reported by whoever needs it."""
    try:
        importlib.import_module(name)
    except ImportError as exc:
        print(visible_lines(f"penstock: {name} cannot be imported ahead: {exc}"), file=sys.stderr)


class _Zygote:
    def __init__(self, sock: socket.socket, paths: RunPaths) -> None:
        self._sock = sock
        self._inbox: Inbox[Spawn] = Inbox(sock, Spawn)
        self._paths = paths
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._wake_read:
                    os.read(self._wake_read, 4096)
            self._reap()
            try:
                while (order := self._inbox.receive()) is not None:
                    self._spawn(order)
            except EOFError:
                return

    def _spawn(self, order: Spawn) -> None:
        with signals.held_back():
            pid = os.fork()
            if pid == 0:
                self._become_worker(order)
        life = order.life
        pidfd = os.pidfd_open(pid)
        try:
            [packet] = packets(Born(life.seat, life.slot, life.attempt, pid))
            socket.send_fds(self._sock, [packet], [pidfd])
        finally:
            os.close(pidfd)

    def _become_worker(self, order: Spawn) -> None:
        """In the child: never returns."""
        code = 70
        try:
            signal.set_wakeup_fd(-1)
            # Descriptors of the zygote in a worker would keep its socket open beyond its death.
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._sock.close()
            code = live(self._paths.root, order.life)
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            send(self._sock, Died(pid, status, usage.ru_maxrss))
