"""How a savepoint is asked for: a file in the run directory for each request, and one beside it with the answer.

Whoever asks writes the file, rings the checkpointer's bell, and waits for the answer. A checkpointer that dies in
between leaves the request to its successor.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import msgspec

from penstock.private_files import make_private, read_own, replace_own

_ANSWER = ".answer"


class Answer(msgspec.Struct, frozen=True):
    """What became of a request."""

    id: str
    """Of the savepoint; empty: there is none."""
    error: str = ""


def ask(folder: Path, bell: Path) -> str:
    """Ask for a savepoint; the request's name. Raises `OSError`: no checkpointer has ever listened there."""
    make_private(folder)
    name = uuid.uuid4().hex
    replace_own(folder / name, b"")
    fd = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(fd, b"!")
    finally:
        os.close(fd)
    return name


def take_answer(folder: Path, name: str) -> Answer | None:
    """None: not yet."""
    path = folder / (name + _ANSWER)
    try:
        found = msgspec.msgpack.decode(read_own(path), type=Answer)
    except FileNotFoundError:
        return None
    path.unlink()
    return found


def waiting_requests(folder: Path) -> list[str]:
    """Those without an answer."""
    try:
        return sorted(name for name in os.listdir(folder) if name.isalnum())
    except FileNotFoundError:
        return []


def answer(folder: Path, name: str, given: Answer) -> None:
    """The answer first: a request that is gone has one."""
    replace_own(folder / (name + _ANSWER), msgspec.msgpack.encode(given))
    (folder / name).unlink(missing_ok=True)
