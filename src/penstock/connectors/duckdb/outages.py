"""Tells what time may heal: errors of DuckDB that say the file is held by another process, or the disk is full.

DuckDB's classes do not tell (a full disk is an `IOException` or a `TransactionException`), so its text is read.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.connectors.duckdb.imports import duckdb
from penstock.errors import PenstockError, TargetDamaged
from penstock.operator import Unavailable

_HELD = "Could not set lock on file"
_BUSY = tuple(map(os.strerror, (errno.EBUSY, errno.EAGAIN)))
_FULL = (
    *map(os.strerror, (errno.ENOSPC, errno.EDQUOT)),
    "failed to offload data block",  # its share of the disk for temporary files is used up
)
_REFUSED = tuple(map(os.strerror, (errno.EACCES, errno.EROFS)))
_NO_DATABASE = ("not a valid DuckDB database file", "newer DuckDB version", "Serialization Error", "Corrupt database")


def require_no_outage(path: str, error: Exception) -> None:
    """Raise `Unavailable` where DuckDB's error says that the database at `path` is out of reach for now."""
    said = " ".join(str(error).split())
    if _HELD in said:
        raise Unavailable(
            f"another process has {path} open ({said}); DuckDB lets one process at a time use a file: close it there"
        ) from error
    if any(text in said for text in _FULL):
        raise Unavailable(f"there is no room for {path} ({said}); make room") from error
    if any(text in said for text in _BUSY):
        raise Unavailable(f"{path} is busy ({said})") from error


@contextmanager
def told_outages(path: str) -> Iterator[None]:
    """Errors of DuckDB within are `Unavailable` where time may heal them; all others are as they were."""
    try:
        yield
    except duckdb().Error as exc:
        require_no_outage(path, exc)
        raise


def hopeless(path: str, error: Exception) -> PenstockError | None:
    """What to raise where a file cannot be opened today nor tomorrow; None: it may be another trouble."""
    said = " ".join(str(error).split())
    if any(text in said for text in _NO_DATABASE):
        return TargetDamaged(path, f"it is not a database that DuckDB {duckdb().__version__} can open ({said})")
    if any(text in said for text in _REFUSED):
        return PenstockError(f"{path} cannot be opened ({said}); give access to it, or name another file")
    return None
