"""Gives tests two users, and takes away what they leave outside their homes."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from two_users import User, why_not

VICTIM, STRANGER = 12345, 54321


@pytest.fixture
def homes() -> Iterator[Path]:
    """A folder that all can enter, as `/home` is; pytest's own are closed to others."""
    if reason := why_not():
        pytest.skip(reason)
    with (Path(tempfile.gettempdir()) / "penstock-homes.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # the users are the same in every session, and what they have outside homes
        yield from _homes()


def _homes() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="penstock-homes-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
    for place in (Path("/dev/shm"), Path("/var/tmp")):
        path = place / f"penstock-{VICTIM}"
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def victim(homes: Path) -> User:
    return _user(homes, VICTIM)


@pytest.fixture
def stranger(homes: Path) -> User:
    return _user(homes, STRANGER)


def _user(homes: Path, uid: int) -> User:
    user = User(uid, homes / str(uid))
    user.make(user.home)
    return user
