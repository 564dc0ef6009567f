"""A PostgreSQL server of a test's own: started, killed, restarted, filled up. Skips where no server is installed.

The server refuses to run as root, so it runs as another user then, in a folder of that user's.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STARTS_S = 120.0
"""Restarted after a kill, it reads its log again; on a busy machine that may take a while."""
_SETTINGS = {
    "listen_addresses": "", "fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB", "max_wal_senders": "0",
    "wal_level": "minimal", "max_connections": "40", "log_min_messages": "warning", "lc_messages": "C",
}
_HBA = """\
local all guarded scram-sha-256
local all all trust
"""


def _missing() -> str:
    """What is missing for a server; empty where nothing is."""
    if _programs() is None:
        return "no PostgreSQL server is installed (Debian: apt install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError as exc:
        return f"psycopg is not installed ({exc})"
    return ""


def _programs() -> Path | None:
    """The folder of the newest server's programs."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: float(path.split("/")[4]))
    path = found[-1] if found else shutil.which("postgres")
    return Path(os.path.realpath(path)).parent if path else None


def _owner() -> pwd.struct_passwd:
    """Who runs the server: we, unless we are root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


class Server:
    """One server: `data` is its folder of data, and its socket is in `folder`."""

    def __init__(self, folder: Path, data: Path, **settings: str) -> None:
        self.folder = folder
        self.data = data
        self.settings = {**_SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def owner(self) -> int:
        """The user who runs it."""
        return _owner().pw_uid

    def dsn(self, database: str = "postgres", user: str = "penstock") -> str:
        return f"host={self.folder} port=5432 user={user} dbname={database}"

    @property
    def environment(self) -> dict[str, str]:
        """For programs that name no host and no user."""
        return {"PGHOST": str(self.folder), "PGUSER": "penstock"}

    def start(self, *, wait: bool = True) -> None:
        command = [str(_bin("postgres")), "-D", str(self.data), "-k", str(self.folder)]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, **_as_owner()
            )
        if wait:
            self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        import psycopg

        deadline = time.monotonic() + STARTS_S
        while True:
            assert self._process is not None
            if self._process.poll() is not None and time.monotonic() < deadline:
                # Killed before, it left processes that still hold its memory: it refuses until they are gone.
                time.sleep(0.05)
                return self.start()
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-4000:]
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast, SIGQUIT: immediate, without a checkpoint."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=STARTS_S)
            self._process = None

    def kill(self) -> None:
        """All its processes by SIGKILL, as a crash of the machine would but for the disk."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # it starts no others meanwhile
        below = _children(self._process.pid)
        self._process.kill()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def execute(self, sql: str, database: str = "postgres", values: Sequence[Any] | None = None) -> list[Any]:
        """Statements each on its own, and the rows of the last."""
        import psycopg

        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            found = connection.execute(sql.encode(), values)
            return found.fetchall() if found.description else []


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _bin(name: str) -> Path:
    programs = _programs()
    assert programs is not None
    return programs / name


def _as_owner() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    owner = _owner()
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def require_postgres() -> None:
    """Skip where there is no server; but fail in continuous integration, which installs one."""
    missing = _missing()
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@contextmanager
def owned() -> Iterator[Path]:
    """A folder that the server's user may enter: not below those of pytest."""
    owner = _owner()
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        folder.chmod(0o755)
        yield folder


@contextmanager
def made_server(**settings: str) -> Iterator[Server]:
    """A new server, running."""
    require_postgres()
    with owned() as folder:
        data = folder / "data"
        subprocess.run(
            [str(_bin("initdb")), "-D", str(data), "-N", "-U", "penstock", "--auth=trust", "-E", "UTF8", "--locale=C"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder, **_as_owner(),
        )
        (data / "pg_hba.conf").write_text(_HBA)
        server = Server(folder, data, **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
