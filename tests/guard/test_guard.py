"""The session's own guard (`tests/conftest.py`): what tests leave behind is found, and fails the session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A directory of tests under the same guard, less patient, and with shared memory that no other test uses."""
    shared_memory(tmp_path).mkdir()
    text = CONFTEST.read_text()
    for there, here in (
        ("GRACE_S = 10.0", "GRACE_S = 0.2"),
        ('SHARED_MEMORY = Path("/dev/shm")', f"SHARED_MEMORY = Path({str(shared_memory(tmp_path))!r})"),
    ):
        assert there in text
        text = text.replace(there, here)
    (tmp_path / "conftest.py").write_text(text)
    return tmp_path


def shared_memory(session: Path) -> Path:
    return session / "shared-memory"


def _run(session: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    (session / "test_inner.py").write_text("import os, subprocess, sys\n\n\ndef test_inner():\n    " + body + "\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(session), *options]
    return subprocess.run(command, cwd=session, capture_output=True, text=True, timeout=60, check=False)


def test_a_session_that_leaves_nothing_passes(session: Path) -> None:
    assert _run(session, "subprocess.run([sys.executable, '-c', ''])").returncode == 0


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_process_that_outlives_its_test_fails_the_session(session: Path, options: tuple[str, ...]) -> None:
    done = _run(session, "subprocess.Popen(['sleep', '77'], start_new_session=True)", *options)
    assert done.returncode == 1, done.stdout
    assert "1 passed" in done.stdout
    assert "sleep 77" in done.stdout


def test_a_run_directory_that_outlives_its_test_fails_the_session(session: Path) -> None:
    left = shared_memory(session) / "penstock-guard"
    done = _run(session, f"os.makedirs({str(left / 'a-run')!r})")
    assert done.returncode == 1, done.stdout
    assert f"run directory {left}/a-run" in done.stdout


def test_a_run_directory_that_somebody_else_uses_is_not_blamed(session: Path) -> None:
    left = shared_memory(session) / "penstock-guard"
    held = left / "a-run" / "held"
    holder = f"import sys; f = open({str(held)!r}); print(flush=True); sys.stdin.read()"
    (left / "a-run").mkdir(parents=True)
    held.touch()
    command = [sys.executable, "-c", holder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        done = _run(session, f"os.rename({str(left)!r}, {str(left) + '-x'!r})")
        other.stdin.close()
    assert done.returncode == 0, done.stdout


def test_tests_see_no_settings_of_the_user(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SET", "a.b=c")
    monkeypatch.setenv("XDG_STATE_HOME", str(session / "mine"))
    done = _run(session, f"assert 'PENSTOCK_SET' not in os.environ\n    "
                         f"assert {str(session)!r} not in os.environ['XDG_STATE_HOME']")
    assert done.returncode == 0, done.stdout
    assert os.environ["PENSTOCK_SET"] == "a.b=c"
