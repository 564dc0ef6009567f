"""Why a worker gave up, for the supervisor: a small file of the slot, its room reserved, because the disk may be full.

Written in place by a worker that is about to exit, read by the supervisor once it has.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from penstock.errors import NotPrivate, QueueDamaged
from penstock.private_files import open_own, read_own
from penstock.run_files import refused
from penstock.slot.records.life import FailureNote

RESERVED_BYTES = 8192
_HEAD_BYTES = 4
_MOST_REASON = 1500


def reserve(path: Path) -> None:
    """Make an empty file that has room for a note."""
    fd = open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        os.posix_fallocate(fd, 0, RESERVED_BYTES)
    finally:
        os.close(fd)


def write_failure(path: Path, note: FailureNote) -> None:
    """Leave a note; where there is no room for all of it, without its traceback."""
    fd = open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        if not _wrote_whole(fd, _framed(note)):  # the disk is full: what fits into the room reserved
            os.pwrite(fd, _framed(replace(note, reason=note.reason[:_MOST_REASON], traceback="", error=b"")), 0)
    finally:
        os.close(fd)


def _wrote_whole(fd: int, data: bytes) -> bool:
    try:
        os.posix_fallocate(fd, 0, len(data))  # a full disk takes a part and says nothing
    except OSError:
        return False
    return os.pwrite(fd, data, 0) == len(data)


def read_failure(path: Path) -> FailureNote:
    """The last note. Raises `QueueDamaged` where there is none that can be read."""
    try:
        stored = read_own(path)
    except (OSError, NotPrivate) as exc:
        raise refused(path, "the worker's note", exc) from exc
    length = int.from_bytes(stored[:_HEAD_BYTES], "little")
    try:
        return msgspec.msgpack.decode(stored[_HEAD_BYTES : _HEAD_BYTES + length], type=FailureNote)
    except msgspec.MsgspecError as exc:
        raise QueueDamaged(path, f"the worker's note cannot be read ({exc})") from exc


def _framed(note: FailureNote) -> bytes:
    data = msgspec.msgpack.encode(note)
    return len(data).to_bytes(_HEAD_BYTES, "little") + data
