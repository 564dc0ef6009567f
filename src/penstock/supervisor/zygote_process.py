"""The supervisor's end of the zygote: tells it whose program it is, has it give birth, hears of deaths."""

from __future__ import annotations

import array
import os
import selectors
import socket
import time

from penstock.supervisor.outbox import Outbox
from penstock.supervisor.protocol import PACKET_BYTES, Begin, FromZygote, Inbox, RunSpec, Spawn
from penstock.supervisor.zygote_start import StartedZygote

_MOST_SAID = 8000


class ZygoteProcess:
    """A running zygote."""

    def __init__(self, started: StartedZygote, spec: RunSpec) -> None:
        """From here on, it imports the program."""
        self.started = time.monotonic()
        self.socket = started.socket
        self._process = started
        self._spec = spec
        self._stderr = started.stderr
        self._shown = 0
        self.closed = False
        """True: it is gone, and tells of no death any more."""
        self._inbox: Inbox[FromZygote] = Inbox(self.socket, FromZygote)
        self._outbox = Outbox(self.socket)
        self._outbox.put(Begin(spec.program, spec.preload))

    def another(self) -> ZygoteProcess:
        """Start the next one, of the same program."""
        return ZygoteProcess(self._process.another(), self._spec)

    @property
    def pid(self) -> int:
        return self._process.pid

    def reap(self) -> None:
        """Take its exit status, where it has exited."""
        self._process.reap()

    def kill(self) -> None:
        """End it; `receive` says so then. Its children come to the supervisor."""
        self._process.kill()

    def send(self, order: Spawn) -> None:
        """Order a birth. A zygote that is gone is noticed by `receive`."""
        self._outbox.put(order)

    def send_some(self) -> None:
        self._outbox.send_some()

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

    @property
    def events(self) -> int:
        """What to wait for at its socket."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox.waiting else 0)

    def said(self) -> str:
        """What it has written to standard error since the last call; of much, the last part."""
        size = os.fstat(self._stderr).st_size
        start, self._shown = max(self._shown, size - _MOST_SAID), size
        return os.pread(self._stderr, size - start, start).decode("utf-8", "replace").strip()

    def close(self) -> int:
        """Kill it, if it still is, and reap it; its exit code, negative where a signal ended it."""
        self.closed = True
        self.socket.close()
        self._outbox.forget()
        self._process.kill()
        return self._process.wait()

    def forget(self) -> None:
        """Nobody asks any more what it said."""
        os.close(self._stderr)

