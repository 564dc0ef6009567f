"""The supervisor's end of the zygote: starting it with the caller's import path, talking to it."""

from __future__ import annotations

import array
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from penstock.supervisor.environment import environment
from penstock.supervisor.protocol import PACKET_BYTES, FromZygote, RunSpec, Spawn, encode

_BOOT = """\
import json, sys
given = json.loads(sys.argv[1])
sys.path[:] = given["sys_path"]
from penstock.program import Program
from penstock.supervisor.zygote import main
program = Program(given["path"], given["module"], tuple(given["sys_path"]), given["cwd"], tuple(given["argv"]))
main(given["fd"], given["run_dir"], program, tuple(given["preload"]))
"""


class ZygoteProcess:
    """A running zygote."""

    def __init__(self, run_dir: Path, spec: RunSpec) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = {
            "fd": theirs.fileno(), "run_dir": str(run_dir), "path": spec.program_path, "module": spec.program_module,
            "sys_path": spec.sys_path, "cwd": spec.cwd, "argv": spec.argv, "preload": spec.preload,
        }
        self._process = subprocess.Popen(
            [sys.executable, *interpreter_flags(), "-c", _BOOT, json.dumps(given)],
            # What the program prints when imported, the caller has printed already.
            stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environment(os.environ),
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


def interpreter_flags() -> list[str]:
    """The flags of this interpreter (-O, -W, -X ...), for its children."""
    return list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]
