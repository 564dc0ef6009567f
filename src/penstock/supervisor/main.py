"""The supervisor's process, exec'ed by the caller while it still makes the run's files.

The zygote takes longest to be ready. So it is forked as soon as that is imported which both need, and imports the rest
while the supervisor does so, and the caller continues. Neither has anything of the run until the caller hands it over
(`handover`).
"""

from __future__ import annotations

import gc
import os

# Not for this file: imported here, these are there on both sides of the fork, with all that they import.
import penstock.channel.bell
import penstock.channel.ring
import penstock.metrics.page
import penstock.slot.process.failure_file
import penstock.slot.process.stack
import penstock.slot.records.control
import penstock.slot.records.journal
import penstock.slot.records.work_page
import penstock.slot.turn.last_error
import penstock.standard_streams
import penstock.supervisor.descriptors
import penstock.supervisor.outbox  # noqa: F401
from penstock.slot.process import signals
from penstock.supervisor.zygote_start import StartedZygote, open_descriptors


def main(socket_fd: int, caller_fd: int, run_dir: str) -> None:
    """Run it once it is handed over, and say how it ended."""
    gc.disable()  # what is imported stays: until all is there, collections find nothing, and take a tenth of the time
    signals.settle()
    for fd in (socket_fd, caller_fd):
        os.set_inheritable(fd, False)
    # What else is open here came with the interpreter, and is for every process of ours: of a tool that traces, say.
    zygote = StartedZygote(run_dir, open_descriptors(but=(socket_fd, caller_fd)))

    from penstock.supervisor.supervised_run import supervise

    gc.enable()
    supervise(run_dir, socket_fd, caller_fd, zygote)
