"""The supervisor's line to its caller: what it says is never waited for, what the caller orders is passed on.

The caller is gone when its process is (its pidfd says so), or when it has closed the socket. A child that it forked
may hold the socket open for long.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator

from penstock.supervisor.protocol import CallerFailed, Drain, Ended, Inbox, Stop, ToSupervisor, packets

_MOST_UNSENT = 256


class CallerLink:
    """One socket. A caller that does not listen makes `behind` true: then its workers' output waits in their pipes."""

    def __init__(self, sock: socket.socket, pidfd: int) -> None:
        self._socket = sock
        self._inbox: Inbox[Drain | Stop | CallerFailed] = Inbox(sock, ToSupervisor)
        self.fd = sock.fileno()
        self.pidfd = pidfd
        """Of the caller's process: readable once it has exited."""
        self._unsent: deque[bytes] = deque()
        self.gone = False

    @property
    def unsent(self) -> bool:
        """True: something waits for the caller to read."""
        return bool(self._unsent)

    @property
    def behind(self) -> bool:
        return len(self._unsent) >= _MOST_UNSENT

    def orders(self) -> Iterator[Drain | Stop | CallerFailed]:
        """What the caller asked for; its death sets `gone`."""
        try:
            while (order := self._inbox.receive()) is not None:
                yield order
        except EOFError:
            self.lost()

    def lost(self) -> None:
        """The caller's process has exited: nobody listens any more, whoever has the socket open."""
        self.gone = True
        self._unsent.clear()

    def say(self, message: object) -> None:
        """Queue a message, and send what can be sent without waiting."""
        if not self.gone:
            self._unsent.extend(packets(message))
            self.send_some()

    def send_some(self) -> None:
        try:
            while self._unsent:
                self._socket.send(self._unsent[0], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                self._unsent.popleft()
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()  # the end of file that follows is what ends the run

    def say_last(self, ended: Ended) -> None:
        """The last word, behind everything before it: rows for a slow reader of standard output may be among that."""
        self.say(ended)
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        poll.register(self.pidfd, select.POLLIN)
        while self._unsent and not self.gone:
            if any(fd == self.pidfd for fd, _ in poll.poll()):
                self.lost()
            else:
                self.send_some()
        self._socket.close()
