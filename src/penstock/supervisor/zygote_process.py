"""The supervisor's end of the zygote: starting it with the caller's import path, talking to it."""

from __future__ import annotations

import array
import os
import socket
import subprocess
from pathlib import Path

import msgspec

from penstock.supervisor import own_process
from penstock.supervisor.environment import environment
from penstock.supervisor.protocol import PACKET_BYTES, FromZygote, RunSpec, Spawn, encode


class ZygoteProcess:
    """A running zygote."""

    def __init__(self, run_dir: Path, spec: RunSpec) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        told = {"socket_fd": theirs.fileno(), "run_dir": str(run_dir), "program": spec.program, "preload": spec.preload}
        self._process = own_process.start(
            "penstock.supervisor.zygote", told, fds=[theirs.fileno()],
            # What the program prints when imported, the caller has printed already.
            stdout=subprocess.DEVNULL, env=environment(os.environ),
        )
        theirs.close()

    def send(self, order: Spawn) -> None:
        """Order a birth. A zygote that is gone is noticed by `receive`."""
        try:
            self.socket.send(encode(order), socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> tuple[FromZygote, int | None] | None:
        """The next message and the descriptor that came with it; None: nothing now. Raises `EOFError`."""
        fds = array.array("i")
        try:
            packet, ancillary, _, _ = self.socket.recvmsg(
                2 * PACKET_BYTES, socket.CMSG_LEN(fds.itemsize), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except ConnectionResetError:
            raise EOFError from None
        if not packet:
            raise EOFError
        for _, _, data in ancillary:
            fds.frombytes(data[: fds.itemsize])
        message: FromZygote = msgspec.msgpack.decode(packet, type=FromZygote)
        return message, fds[0] if fds else None

    def close(self) -> None:
        """Kill it, if it still is, and reap it."""
        self.socket.close()
        self._process.kill()
        self._process.wait()

