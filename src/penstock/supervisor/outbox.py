"""Messages on their way to a process that may not read just now: sent whenever there is room, never waited for.

Two processes that both wait until the other has read would wait for ever; with hundreds of workers to be born at
once, the buffers of a socket are soon full on both sides.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque

from penstock.supervisor.protocol import packets


class Outbox:
    """What goes out through one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unsent: deque[tuple[bytes, int | None]] = deque()

    @property
    def waiting(self) -> bool:
        """True: something waits for room; `send_some` when the socket is writable."""
        return bool(self._unsent)

    def put(self, message: object, fd: int | None = None) -> None:
        """A message, and a descriptor to go with it, which is closed once it is sent."""
        *first, last = packets(message)
        self._unsent.extend((packet, None) for packet in first)
        self._unsent.append((last, fd))
        self.send_some()

    def send_some(self) -> None:
        """Send what there is room for. A reader that is gone is noticed by whoever reads from it."""
        try:
            while self._unsent:
                packet, fd = self._unsent[0]
                self._send(packet, fd)
                self._unsent.popleft()
                if fd is not None:
                    os.close(fd)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self.forget()

    def forget(self) -> None:
        """Nobody reads any more."""
        for _, fd in self._unsent:
            if fd is not None:
                os.close(fd)
        self._unsent.clear()

    def _send(self, packet: bytes, fd: int | None) -> None:
        with_it = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self._socket.sendmsg([packet], with_it, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
