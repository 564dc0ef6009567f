"""Messages between processes: whatever their size, they arrive as they were sent, one after the other."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.slot.records.life import FailureNote
from penstock.supervisor.protocol import PACKET_BYTES, Ended, FromSupervisor, Inbox, Notice, Stop, packets, send

texts = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=5), st.integers(0, 200_000))
messages = st.lists(
    st.builds(Notice, st.just("WARNING"), texts)
    | st.builds(lambda text: Ended("failed", 0.0, [], 0, FailureNote("s", text, text)), texts),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=40)
@given(messages)
def test_messages_of_any_size_arrive_whole_and_in_order(given_messages: list[Notice | Ended]) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inbox: Inbox[Notice | Ended] = Inbox(theirs, FromSupervisor)
    with ours, theirs:
        sender = threading.Thread(target=lambda: [send(ours, message) for message in given_messages])
        sender.start()
        assert [inbox.receive(wait=True) for _ in given_messages] == given_messages
        sender.join()


@given(texts)
def test_no_packet_is_larger_than_a_socket_takes(text: str) -> None:
    assert all(len(packet) <= PACKET_BYTES for packet in packets(Notice("INFO", text)))


def test_the_last_words_of_one_who_left_something_unread_are_heard() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inbox: Inbox[Notice | Ended] = Inbox(ours, FromSupervisor)
    send(ours, Stop())
    last_words = [Notice("INFO", "leaving"), Notice("INFO", "left")]
    for notice in last_words:
        send(theirs, notice)
    theirs.close()
    assert [inbox.receive(wait=True), inbox.receive(wait=True)] == last_words
    with pytest.raises(EOFError):
        inbox.receive(wait=True)
    ours.close()
