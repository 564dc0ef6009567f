"""What holds for every test: hypothesis profiles, data sets, an environment of its own, and nothing left behind."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from penstock.build import is_compiled

SHARED_MEMORY = Path("/dev/shm")
MARK = "PENSTOCK_TEST_SESSION"
"""In the environment of every process that a test starts, however deep below it."""
FOR_TESTS = (
    "PENSTOCK_DATA", "PENSTOCK_CHAOS_SECONDS", "PENSTOCK_CHAOS_SEED", "PENSTOCK_EXAMPLES", "PENSTOCK_NEXMARK",
    "PENSTOCK_S3_SERVER",
)
"""What a person may tell the tests: where the data sets are, how long chaos lasts, by which seed, how many surroundings
of a program are drawn, and whether all queries of Nexmark are killed."""
LEAVES_NOTHING_OPEN = ("api", "channel", "dead_letters", "plan", "slot", "supervisor")
"""Folders whose tests are looked at one by one, for what they leave open; the others are to follow."""
GRACE_S = 10.0
"""How long processes of the last test may take to leave."""

# A time limit per example would fail on a busy machine; `ci` draws the same examples each time.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

before = pytest.StashKey[set[Path]]()
scratch = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
left = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests apart from what the user has: settings, dead letters, runs."""
    # A shell's background job and `nohup` ignore them; the programs that tests start would, too.
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)
    if _is_worker_of_xdist(config):
        # Dead letters and runs of one worker's tests are not another's.
        os.environ["XDG_STATE_HOME"] += "/" + config.workerinput["workerid"]  # type: ignore[attr-defined]
        return
    for name in [name for name in os.environ if name.startswith("PENSTOCK_") and name not in FOR_TESTS]:
        del os.environ[name]
    config.stash[scratch] = tempfile.TemporaryDirectory(prefix="penstock-tests-")
    os.environ["XDG_STATE_HOME"] = config.stash[scratch].name
    os.environ[MARK] = uuid.uuid4().hex
    config.stash[before] = _in_shared_memory()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _data_directory() is None:
        _skip(items, "whole_data", "set PENSTOCK_DATA to the directory with the data sets to run this")
    if is_compiled():
        _skip(items, "interpreted", "penstock is compiled here, and takes no objects of the test's own making inside")


def _skip(items: list[pytest.Item], marked: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marked):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def data_directory() -> Path:
    """Where the data sets lie; for tests marked `whole_data`."""
    directory = _data_directory()
    if directory is None:
        pytest.fail("a test that reads the data sets carries the mark `whole_data`")
    return directory


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a file, a pipe or a socket open in this process."""
    if request.path.parent.name not in LEAVES_NOTHING_OPEN:
        yield
        return
    there = _descriptors()
    yield
    deadline = time.monotonic() + GRACE_S
    while (new := _descriptors() - there) and time.monotonic() < deadline:
        gc.collect()  # what is lost in a cycle, or closed by a thread that is about to end
        time.sleep(0.01)
    assert not new, f"left open: {sorted(new)}"


def _descriptors() -> set[tuple[int, str]]:
    found = set()
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.add((fd, os.readlink(f"/proc/self/fd/{fd}")))
    return found


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Fail the session when a test left a process or a run directory behind."""
    yield
    config = session.config
    if _is_worker_of_xdist(config):
        return
    found = [f"process {pid}: {command}" for pid, command in _processes_that_stay().items()]
    there = config.stash[before]
    new = sorted(path for path in _in_shared_memory() if path not in there)
    found += [f"run directory {path}" for path in new if not _is_in_use(path) and not _is_anothers(path, config)]
    config.stash[left] = found
    config.stash[scratch].cleanup()
    if found and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Tell last, where nothing scrolls it away."""
    found = config.stash.get(left, [])
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if found and reporter is not None:
        reporter.section("left behind by the tests", red=True, bold=True)
        for line in found:
            reporter.write_line(line, red=True)


def _is_worker_of_xdist(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _data_directory() -> Path | None:
    named = os.environ.get("PENSTOCK_DATA")
    return Path(named) if named and Path(named).is_dir() else None


def _in_shared_memory() -> set[Path]:
    """Whatever penstock has in shared memory, two levels deep: a user's directory, and the runs in it."""
    tops = set(SHARED_MEMORY.glob("penstock*"))
    runs = {run for top in tops if top.is_dir() and os.access(top, os.R_OK) for run in top.iterdir()}
    return runs | {top for top in tops if not top.is_dir()}


def _is_in_use(path: Path) -> bool:
    """True while a process of somebody else's has a file there open: another session's run, then."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            files = [os.readlink(fd) for fd in (process / "fd").iterdir()]
            mapped = (process / "maps").read_text()
        except OSError:  # it went, or it is another user's
            continue
        if any(Path(file).is_relative_to(path) for file in files) or f"{path}/" in mapped:
            return True
    return False


def _is_anothers(path: Path, config: pytest.Config) -> bool:
    """True when it was made by another session: the runs of this one have their state in its own directories."""
    try:
        state_dir = Path(json.loads((path / "manifest.json").read_text())["state_dir"])
    except (OSError, ValueError, KeyError):
        return False  # never made ready, or gone meanwhile: nobody else's for all we know
    own = [Path(config.stash[scratch].name), config._tmp_path_factory.getbasetemp()]  # type: ignore[attr-defined]
    return not any(state_dir.is_relative_to(place) for place in own)


def _processes_that_stay() -> dict[int, str]:
    """Processes started by the tests that are still there after `GRACE_S`, by id."""
    deadline = time.monotonic() + GRACE_S
    for pid in _processes_of_this_session():
        _wait_for_exit(pid, deadline)
    found = _processes_of_this_session()
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return found


def _processes_of_this_session() -> dict[int, str]:
    mark = f"{MARK}={os.environ[MARK]}".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        try:
            stat = (process / "stat").read_text().rpartition(")")[2].split()
            marked = mark in (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # it went, or it is another user's
            continue
        state, parent = stat[0], int(stat[1])
        if pid != os.getpid() and state != "Z" and (marked or parent == os.getpid()):
            found[pid] = command
    return found


def _wait_for_exit(pid: int, deadline: float) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
    finally:
        os.close(fd)
