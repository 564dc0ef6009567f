"""The supervisor's end of the zygote: starting it with the caller's import path, talking to it."""

from __future__ import annotations

import array
import os
import signal
import socket
import subprocess
from pathlib import Path

from penstock.supervisor import own_process
from penstock.supervisor.environment import environment
from penstock.supervisor.protocol import PACKET_BYTES, FromZygote, Inbox, RunSpec, Spawn, send
from penstock.supervisor.stragglers import marked


class ZygoteProcess:
    """A running zygote."""

    def __init__(self, run_dir: Path, spec: RunSpec) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        told = {"socket_fd": theirs.fileno(), "run_dir": str(run_dir), "program": spec.program, "preload": spec.preload}
        self._process = own_process.start(
            "penstock.supervisor.zygote", told, str(run_dir), fds=[theirs.fileno()],
            # What the program prints when imported, the caller has printed already.
            stdout=subprocess.DEVNULL, env=marked(environment(os.environ), spec.run_id),
        )
        theirs.close()
        self._inbox: Inbox[FromZygote] = Inbox(self.socket, FromZygote)

    @property
    def pid(self) -> int:
        return self._process.pid

    def reap(self) -> None:
        """Take its exit status, where it has exited."""
        self._process.poll()

    def kill(self) -> None:
        """End it; `receive` says so then. Its children come to the supervisor."""
        self._process.send_signal(signal.SIGKILL)

    def send(self, order: Spawn) -> None:
        """Order a birth. A zygote that is gone is noticed by `receive`."""
        try:
            send(self.socket, order)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> tuple[FromZygote, int | None] | None:
        """The next message and the descriptor that came with it; None: nothing now. Raises `EOFError`."""
        fds = array.array("i")
        while True:
            try:
                packet, ancillary, _, _ = self.socket.recvmsg(
                    2 * PACKET_BYTES, socket.CMSG_LEN(fds.itemsize), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return None
            except ConnectionResetError:
                raise EOFError from None
            for _, _, data in ancillary:
                fds.frombytes(data[: fds.itemsize])
            message = self._inbox.add(packet)
            if message is not None:
                return message, fds[0] if fds else None

    def close(self) -> None:
        """Kill it, if it still is, and reap it."""
        self.socket.close()
        self._process.kill()
        self._process.wait()

