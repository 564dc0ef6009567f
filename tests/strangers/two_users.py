"""Real users of one machine: programs are run as a user who may do nothing but what that user may."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import penstock

TIMEOUT_S = 120.0
SOURCE = Path(penstock.__file__).parents[1]
_PACKAGES = [str(SOURCE), *(path for path in sys.path if path.endswith("site-packages"))]


@functools.cache
def interpreter() -> str | None:
    """A Python of this version that every user can start, and penstock with it; None: there is none."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        if found and _starts(found):
            return found
    return None


def _starts(python: str) -> bool:
    try:
        return _run(python, 12345, "import penstock.engine.engine", {}).returncode == 0
    except PermissionError:
        return False


def why_not() -> str:
    """Why two users cannot be had here; empty: they can."""
    if os.getuid() != 0:
        return "only root can be two users"
    return "" if interpreter() else "no Python and penstock here that every user can read"


@dataclass(frozen=True, slots=True)
class User:
    """One user, without an entry in the system's list of users."""

    uid: int
    home: Path

    def python(self, code: str, *, umask: int = 0o022, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, in the user's home."""
        return _run(str(interpreter()), self.uid, code, env, umask=umask, home=self.home)

    def start(self, code: str) -> subprocess.Popen[str]:
        """Start a program."""
        command = [str(interpreter()), "-c", textwrap.dedent(code)]
        return subprocess.Popen(command, **_as(self.uid, {}, 0o022, self.home))

    def make(self, path: Path, mode: int = 0o700) -> Path:
        """A directory of this user's."""
        path.mkdir(parents=True)
        os.chown(path, self.uid, self.uid)
        path.chmod(mode)
        return path


def _run(
    python: str, uid: int, code: str, env: dict[str, str], *, umask: int = 0o022, home: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-c", textwrap.dedent(code)], **_as(uid, env, umask, home), timeout=TIMEOUT_S, check=False
    )


def _as(uid: int, env: dict[str, str], umask: int, home: Path) -> dict[str, object]:
    marks = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK_TEST")}
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(_PACKAGES), "HOME": str(home), **marks, **env}
    given = {name: value for name, value in given.items() if value}
    return {
        "user": uid, "group": uid, "extra_groups": [], "umask": umask, "cwd": home, "env": given, "text": True,
        "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL,
    }
