"""Starting the supervisor: a process and a session of its own, with the lock and one socket of the caller."""

from __future__ import annotations

import os
import socket
import subprocess

from penstock.engine import forks, rundir
from penstock.engine.deployment import Deployment
from penstock.supervisor import own_process


def start_supervisor(deployment: Deployment) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, and the caller's end of the socket. The lock is the supervisor's, too, from then on."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller = os.pidfd_open(os.getpid())
    told = {
        "socket_fd": theirs.fileno(), "caller_fd": caller, "lock_fd": deployment.lock_fd,
        "claims": deployment.claims, "run_dir": str(deployment.paths.root),
    }
    try:
        process = own_process.start(
            "penstock.supervisor.main", told, str(deployment.paths.root),
            fds=[theirs.fileno(), caller, deployment.lock_fd, *deployment.claims], start_new_session=True,
        )
        rundir.write_owner(deployment.lock_fd, process.pid)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(caller)
        while deployment.claims:
            forks.close(deployment.claims.pop())
    return process, ours
