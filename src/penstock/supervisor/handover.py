"""How the caller gives a run to its supervisor once all files are made: the lock, and the claims on targets.

Descriptors go through the socket, as many in a packet as the kernel takes. Until the last packet has come, the caller
alone holds the run, and a supervisor that it does not tell anything ends as if it had never been.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence

_MOST_IN_PACKET = 200
_MORE, _LAST = b"+", b"."


def hand_over(sock: socket.socket, fds: Sequence[int]) -> None:
    """To the supervisor, whose they are, too, from then on. Raises `OSError` where it is gone."""
    starts = range(0, len(fds), _MOST_IN_PACKET)
    for start in starts:
        more = start + _MOST_IN_PACKET < len(fds)
        socket.send_fds(sock, [_MORE if more else _LAST], fds[start : start + _MOST_IN_PACKET], socket.MSG_NOSIGNAL)


def handed_over(sock: socket.socket, caller: int) -> list[int]:
    """The descriptors; none: the caller is gone, or will have no run. `caller`: the pidfd of its process."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(caller, select.POLLIN)
    found: list[int] = []
    while any(fd == sock.fileno() for fd, _ in poll.poll()):
        data, fds, _, _ = socket.recv_fds(sock, 1, _MOST_IN_PACKET, socket.MSG_CMSG_CLOEXEC)
        found += fds
        if data == _LAST:
            return found
        if not data:
            break
    for fd in found:
        os.close(fd)
    return []
