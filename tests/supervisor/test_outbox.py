"""Messages between supervisor and zygote: neither waits for the other to read, however many there are."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from penstock.supervisor.outbox import Outbox
from penstock.supervisor.protocol import Died, Inbox

MESSAGES = 5000


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def test_both_ends_may_fill_the_socket_before_either_reads(ends: tuple[socket.socket, socket.socket]) -> None:
    boxes = [Outbox(end) for end in ends]
    for number in range(MESSAGES):
        for box in boxes:
            box.put(Died(number, 0, 0))  # a blocking send would never come back
    assert all(box.waiting for box in boxes)
    inboxes: list[Inbox[Died]] = [Inbox(end, Died) for end in ends]
    heard: list[list[int]] = [[], []]
    while any(len(numbers) < MESSAGES for numbers in heard):
        for box, inbox, numbers in zip(boxes, inboxes, heard, strict=True):
            box.send_some()
            while (message := inbox.receive()) is not None:
                numbers.append(message.pid)
    assert heard == [list(range(MESSAGES))] * 2
    assert not any(box.waiting for box in boxes)


def test_descriptors_arrive_with_their_messages_and_are_closed_here(
    ends: tuple[socket.socket, socket.socket]
) -> None:
    read, write = os.pipe()
    box = Outbox(ends[0])
    box.put(Died(1, 0, 0), read)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)
    _, fds, _, _ = socket.recv_fds(ends[1], 1000, 1)
    os.write(write, b"x")
    assert os.read(fds[0], 1) == b"x"
    for fd in (*fds, write):
        os.close(fd)


def test_a_reader_that_is_gone_is_not_an_error_of_the_sender(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].close()
    box = Outbox(ends[0])
    box.put(Died(1, 0, 0))
    assert not box.waiting
