"""When a file was born, which tells it from an earlier one with the same inode number: `statx` of the C library."""

from __future__ import annotations

import ctypes
import os
from struct import Struct
from typing import Any

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_BIRTH = 0x800
_BYTES = 256
_MASK = Struct("=I")
_TIME = Struct("=qI")
_BIRTH_OFFSET = 80


def _statx() -> Any:
    try:
        found = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):  # a C library without it: birth is not known then
        return None
    found.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]
    return found


_call = _statx()


def born_ns(path_or_fd: str | int) -> int:
    """Nanoseconds since 1970; 0 where it is not known: the file is gone, or its file system does not keep it."""
    if _call is None:
        return 0
    buffer = ctypes.create_string_buffer(_BYTES)
    if isinstance(path_or_fd, int):
        failed = _call(path_or_fd, b"", _AT_EMPTY_PATH, _BIRTH, buffer)
    else:
        failed = _call(_AT_FDCWD, os.fsencode(path_or_fd), 0, _BIRTH, buffer)
    if failed or not _MASK.unpack_from(buffer)[0] & _BIRTH:
        return 0
    seconds, nanoseconds = _TIME.unpack_from(buffer, _BIRTH_OFFSET)
    return int(seconds) * 10**9 + int(nanoseconds)
