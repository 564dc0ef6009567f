"""Starting the supervisor: a process and a session of its own, with the lock and one socket of the caller."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from penstock.engine import rundir
from penstock.engine.deploy import Deployment
from penstock.supervisor.zygote_process import interpreter_flags

_BOOT = """\
import json, sys
given = json.loads(sys.argv[1])
sys.path[:] = given["sys_path"]
from penstock.supervisor.main import main
main(given["socket"], given["lock"], given["run_dir"])
"""


def start_supervisor(deployment: Deployment) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, and the caller's end of the socket. The lock goes over to the supervisor."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given = {
        "socket": theirs.fileno(), "lock": deployment.lock_fd, "run_dir": str(deployment.paths.root),
        "sys_path": deployment.program.sys_path,
    }
    try:
        process = subprocess.Popen(
            [sys.executable, *interpreter_flags(), "-c", _BOOT, json.dumps(given)],
            pass_fds=[theirs.fileno(), deployment.lock_fd], start_new_session=True,
        )
        rundir.write_owner(deployment.lock_fd, process.pid)
    finally:
        theirs.close()
        os.close(deployment.lock_fd)
    return process, ours
