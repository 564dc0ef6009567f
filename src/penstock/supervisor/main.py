"""The supervisor's process, exec'ed by the caller while it still makes the run's files.

The zygote takes longest to be ready. So it is forked as soon as that is imported which both need, and imports the rest
while the supervisor does so, and the caller continues. Neither has anything of the run until the caller hands it over
(`handover`).
"""

from __future__ import annotations

import os

# Not for this file: imported here, these are there on both sides of the fork, with all that they import.
import penstock.slot.records.journal
import penstock.slot.records.work_page
import penstock.supervisor.outbox  # noqa: F401
from penstock.slot.process import signals
from penstock.supervisor.zygote_start import StartedZygote


def main(socket_fd: int, caller_fd: int, run_dir: str) -> None:
    """Run it once it is handed over, and say how it ended."""
    signals.settle()
    for fd in (socket_fd, caller_fd):
        os.set_inheritable(fd, False)
    zygote = StartedZygote(run_dir)

    from penstock.supervisor.supervised_run import supervise

    supervise(run_dir, socket_fd, caller_fd, zygote)
