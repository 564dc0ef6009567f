"""The caller's line to its supervisor. Orders go out, messages come in; one that does not end is killed."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading

from penstock.engine import forks, rundir
from penstock.engine.deployment import Deployment
from penstock.supervisor.protocol import (
    CallerFailed,
    Drain,
    Ended,
    FromSupervisor,
    Inbox,
    Notice,
    Output,
    Running,
    Stop,
    send,
)

_SILENT_S = 20.0
"""A supervisor that has not ended so long after it had to is stopped or stuck, and is killed."""


class SupervisorLink:
    """A supervisor that is given what was deployed."""

    def __init__(self, deployment: Deployment) -> None:
        self._process, self._socket = deployment.supervisor.process, deployment.supervisor.socket
        self._inbox: Inbox[Running | Output | Notice | Ended] = Inbox(self._socket, FromSupervisor)
        self._sending = threading.Lock()
        self._timers: list[threading.Timer] = []
        self._silent = False
        """True: it was killed because it did not end."""
        rundir.write_owner(deployment.lock_fd, self._process.pid)
        deployment.supervisor.give([deployment.lock_fd, *deployment.claims])
        while deployment.claims:
            forks.close(deployment.claims.pop())

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, order: Drain | Stop | CallerFailed) -> None:
        """One that is gone has ended already, and hears nothing."""
        with self._sending, contextlib.suppress(OSError):
            send(self._socket, order)

    def receive(self) -> Running | Output | Notice | Ended | None:
        """The next message. Raises `EOFError` or `OSError` where no more can come."""
        return self._inbox.receive(wait=True)

    def end_within(self, seconds: float) -> None:
        """It has so long, and the time that an end takes."""
        timer = threading.Timer(seconds + _SILENT_S, self._kill_the_silent)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def hang_up(self) -> None:
        """Say nothing any more, as if this process were dead."""
        with self._sending, contextlib.suppress(OSError):  # one that is gone has ended already
            self._socket.shutdown(socket.SHUT_WR)
        self.end_within(0.0)

    def wait(self) -> None:
        """Until it is gone. One that cannot be heard any more hears nothing either, and ends."""
        self._process.wait()
        for timer in self._timers:
            timer.cancel()
        with self._sending, contextlib.suppress(OSError):
            self._socket.close()

    def how_it_died(self) -> str:
        """For a supervisor that is gone and has not said how the run ended."""
        if self._silent:
            return "the supervisor did not answer (was it stopped by a signal?), so it was killed"
        code = self._process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the supervisor was killed ({how})"

    def forked(self) -> None:
        """In a forked child: it is the parent's. A lock that some thread had there is nobody's here."""
        self._sending = threading.Lock()

    def _kill_the_silent(self) -> None:
        if self._process.poll() is None:
            self._silent = True
            self._process.kill()
