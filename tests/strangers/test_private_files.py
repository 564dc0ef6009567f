"""The rules of what is ours alone, and that removing follows no link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import NotPrivate
from penstock.private_files import (
    hold,
    is_ours,
    make_private,
    objection,
    open_own,
    read_own,
    remove_directory,
    replace_own,
    require_safe_place,
)

US = os.geteuid()


def status(mode: int, uid: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, uid, 0, 0, 0, 0))


@given(mode=st.integers(0, 0o7777), uid=st.integers(0, 5), sticky=st.booleans(), alone=st.booleans())
def test_what_somebody_else_owns_or_can_write_is_objected_to(mode: int, uid: int, sticky: bool, alone: bool) -> None:
    ours = uid in (1, 2)
    writers = mode & 0o002 or (mode & 0o020 and not alone)
    safe = ours and (not writers or (sticky and mode & stat.S_ISVTX))
    told = objection(status(stat.S_IFDIR | mode, uid), frozenset((1, 2)), sticky=sticky, alone=alone)
    assert (told == "") == bool(safe)
    assert told == "" or (f"{mode:04o}" in told and f"{uid}" in told)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directories_are_made_for_us_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_private(tmp_path / "a" / "b")
        replace_own(tmp_path / "a" / "b" / "file", b"x")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a/b")] == [0o700, 0o700]
    assert stat.S_IMODE((tmp_path / "a/b/file").stat().st_mode) == 0o600


def test_a_directory_that_others_can_write_is_refused_or_made_ours(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(NotPrivate, match="mode 0777"):
        make_private(tmp_path / "open")
    assert not is_ours(tmp_path / "open")
    os.close(hold(tmp_path / "open", tighten=True))
    assert is_ours(tmp_path / "open")


def test_a_place_below_one_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open" / "inner").mkdir(parents=True, mode=0o700)
    (tmp_path / "open").chmod(0o777)
    for path in (tmp_path / "open", tmp_path / "open" / "inner", tmp_path / "open" / "not-there" / "yet"):
        with pytest.raises(NotPrivate, match=f"{tmp_path}/open can be written by others"):
            require_safe_place(path)
    (tmp_path / "open").chmod(0o1777)
    require_safe_place(tmp_path / "open" / "inner")


def test_a_link_is_not_taken_for_a_directory_or_a_file_of_ours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").symlink_to("real/file")
    with pytest.raises(NotPrivate, match="a link"):
        make_private(tmp_path / "link")
    assert not is_ours(tmp_path / "link")
    with pytest.raises(OSError, match="symbolic links"):
        read_own(tmp_path / "file")
    replace_own(tmp_path / "file", b"new")
    assert (read_own(tmp_path / "file"), (tmp_path / "real" / "file").read_text()) == (b"new", "x")


def test_a_file_that_others_can_write_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0o666)
    with pytest.raises(NotPrivate, match="mode 0666"):
        read_own(tmp_path / "file")
    (tmp_path / "file").chmod(0o600)
    os.link(tmp_path / "file", tmp_path / "other")
    with pytest.raises(NotPrivate, match="another name"):
        open_own(tmp_path / "file", os.O_RDONLY, single=True)


def test_removing_a_directory_follows_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    doomed = tmp_path / "doomed"
    (doomed / "sub").mkdir(parents=True)
    (doomed / "link").symlink_to(precious)
    (doomed / "sub" / "file").symlink_to(precious / "file")
    (tmp_path / ".doomed.removing").symlink_to(precious)  # where it is renamed to
    remove_directory(doomed)
    assert not doomed.exists()
    assert (precious / "file").read_text() == "x"
    doomed.symlink_to(precious)
    with pytest.raises(OSError):
        remove_directory(doomed)
    assert (precious / "file").read_text() == "x"


@pytest.mark.skipif(US != 0, reason="only root can give a file to somebody else")
def test_what_belongs_to_somebody_else_is_refused_by_root_too(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    (tmp_path / "theirs" / "file").write_text("x")
    for path in (tmp_path / "theirs" / "file", tmp_path / "theirs"):
        os.chown(path, 54321, 54321)
    with pytest.raises(NotPrivate, match="user 54321"):
        make_private(tmp_path / "theirs")
    with pytest.raises(NotPrivate, match="user 54321"):
        hold(tmp_path / "theirs", tighten=True)
    with pytest.raises(NotPrivate, match="user 54321"):
        read_own(tmp_path / "theirs" / "file")
