"""Real runs whose store is damaged, claimed by others, or fails: a named error, or the checkpoint before."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import time
from pathlib import Path

import msgspec
import pytest
from test_checkpointed_runs import Program, finish, lose_the_machine, until

import penstock as ps
from penstock.checkpoints import cut
from penstock.checkpoints.checkpointer import Checkpointer
from penstock.checkpoints.history import entry_name, read_log
from penstock.checkpoints.stores import open_store
from penstock.checkpoints.told import Told
from penstock.checkpoints.verify import verify
from penstock.connectors import files
from penstock.plan.paths import RunPaths
from penstock.run_files import read_checked
from penstock.shared_file import by_calls
from penstock.slot.records.control import Control
from penstock.supervisor.checkpoint_keeper import this_run
from penstock.supervisor.protocol import RunSpec
from sweep import sweep_ptrace as ptrace

pytestmark = pytest.mark.timeout(300)
KILLING_S = float(os.environ.get("PENSTOCK_CHAOS_SECONDS", "0")) or 30.0


def lost_with_checkpoints(folder: Path) -> Program:
    """A program whose machine was lost when it had several checkpoints."""
    program = Program(folder, 30_000, "store", slow_s=0.02)
    process = program.start()
    until(lambda: len(manifests(folder)) >= 3)
    lose_the_machine(program, process)
    return program


def manifests(folder: Path) -> list[int]:
    return [manifest.number for manifest in read_log(open_store(folder / "store", "lost")).manifests]


def own_files(folder: Path, number: int) -> list[Path]:
    """What of a checkpoint's content no other one has."""
    [manifest] = [m for m in read_log(open_store(folder / "store", "lost")).manifests if m.number == number]
    own = f"{manifest.lineage}.{number}."
    return [folder / "store" / "lost" / "files" / name for name in sorted(manifest.files) if name.startswith(own)]


def damage(folder: Path, number: int, what: str) -> None:
    """Of one checkpoint."""
    manifest = folder / "store" / "lost" / entry_name(number)
    path = manifest if what == "a torn manifest" else own_files(folder, number)[0]
    data = bytearray(path.read_bytes())
    if what == "a missing file":
        path.unlink()
    elif what == "a flipped bit":
        data[len(data) // 2] ^= 16
        path.write_bytes(data)
    else:
        path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("what", ["a torn manifest", "a missing file", "a flipped bit", "a cut file"])
def test_a_run_resumes_from_the_checkpoint_before_one_that_is_damaged(tmp_path: Path, what: str) -> None:
    program = lost_with_checkpoints(tmp_path)
    while not own_files(tmp_path, newest := manifests(tmp_path)[-1]):  # nothing was in its queues
        (tmp_path / "store" / "lost" / entry_name(newest)).unlink()
    damage(tmp_path, newest, what)
    err = finish(program.start())
    assert f"checkpoint {newest}" in err
    assert "resumes from checkpoint" in err
    program.require_exact()


def test_a_store_of_which_nothing_can_be_read_is_an_error_and_no_fresh_start(tmp_path: Path) -> None:
    program = lost_with_checkpoints(tmp_path)
    for number in manifests(tmp_path):
        damage(tmp_path, number, "a torn manifest")
    before = (tmp_path / "out.jsonl").read_bytes()
    process = program.start()
    _, err = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "CheckpointDamaged" in err
    assert (tmp_path / "out.jsonl").read_bytes() == before


# In this process.


def app_of(rows: int, out: Path, name: str = "told") -> ps.Pipeline:
    def slow(x: int) -> dict[str, int]:
        time.sleep(0.001)
        return {"id": x}

    app = ps.Pipeline(name)
    app.source(range(rows), name="numbers").stage("slow").map(slow).sink(files.json_lines(out), name="store")
    return app


def lines_of(out: Path) -> list[int]:
    return [msgspec.json.decode(line)["id"] for line in out.read_bytes().splitlines()]


def test_a_run_whose_store_is_claimed_by_another_one_fails_and_says_by_whom(tmp_path: Path) -> None:
    store = ps.checkpoint(tmp_path / "store", every="20ms")
    first = app_of(100_000, tmp_path / "first.jsonl").start(
        run_dir=tmp_path / "run1", state_dir=tmp_path / "state1", checkpoint=store
    )
    until(lambda: (now := first.status().checkpoints) is not None and now.newest)
    # As on another machine: no run directory and no state directory are shared.
    second = app_of(2000, tmp_path / "second.jsonl", "told").start(
        run_dir=tmp_path / "run2", state_dir=tmp_path / "state2", checkpoint=store, fresh=True
    )
    with pytest.raises(ps.PipelineFailed, match="claimed"):
        first.wait(timeout="100s")
    assert second.wait().outcome == "finished"
    assert lines_of(tmp_path / "second.jsonl") == list(range(2000))


def test_a_run_stops_when_the_newest_checkpoint_is_older_than_max_age_and_resumes_once_the_store_is_well(
    tmp_path: Path,
) -> None:
    where = {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}
    store, out = tmp_path / "store", tmp_path / "out.jsonl"
    options = ps.checkpoint(store, every="50ms", max_age="5s")
    handle = app_of(200_000, out).start(checkpoint=options, **where)
    until(lambda: (now := handle.status().checkpoints) is not None and now.newest)
    store.rename(tmp_path / "away")
    store.write_text("this is no folder")
    with pytest.raises(ps.PipelineFailed, match=r"the newest checkpoint is older than max_age=5 s: .*fix the store"):
        handle.wait(timeout="100s")
    written = len(lines_of(out))
    assert 0 < written < 200_000
    store.unlink()
    (tmp_path / "away").rename(store)
    again = app_of(200_000, out).start(checkpoint=options, **where)
    until(lambda: (now := again.status().checkpoints) is not None and now.newest)
    again.stop()
    assert lines_of(out) == list(range(len(lines_of(out))))
    assert len(lines_of(out)) >= written


def test_a_store_that_hangs_stops_nothing_until_max_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("obstore")
    from checkpoints.s3_stub import s3_stub

    where = {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}
    with s3_stub() as stub:
        for name, value in {
            "AWS_ENDPOINT_URL": stub.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        out = tmp_path / "out.jsonl"
        handle = app_of(200_000, out).start(
            checkpoint=ps.checkpoint("s3://bucket/prefix", every="50ms", max_age="8s"), **where
        )
        until(lambda: (now := handle.status().checkpoints) is not None and now.newest)
        stub.fault = "hangs"
        written = len(lines_of(out))
        until(lambda: len(lines_of(out)) > written + 500)  # nobody waits for it
        with pytest.raises(ps.PipelineFailed, match="the newest checkpoint is older than max_age=8 s"):
            handle.wait(timeout="100s")


def _killed_before(nth: int, told: Told) -> bool:
    """A checkpointer takes one checkpoint, and dies before this system call. False: it was through before."""
    pid = os.fork()
    if pid == 0:
        try:
            os.kill(os.getpid(), signal.SIGSTOP)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            Checkpointer(told, theirs).run()
            ours.close()
        finally:
            os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    ptrace.seize(pid, ptrace.OPTION_SYSGOOD | ptrace.OPTION_EXITKILL)
    os.kill(pid, signal.SIGCONT)
    calls = 0
    while True:
        _, status = os.waitpid(pid, ptrace.WALL)
        if not os.WIFSTOPPED(status):
            return os.WIFSIGNALED(status)
        if os.WSTOPSIG(status) == ptrace.SYSCALL_STOP and ptrace.syscall_info(pid).op == ptrace.ENTRY:
            calls += 1
            if calls == nth:
                os.kill(pid, signal.SIGKILL)
                continue
        ptrace.go_on_to_syscall(pid)


@pytest.mark.chaos
def test_a_checkpointer_may_be_killed_before_each_of_its_system_calls(tmp_path: Path) -> None:
    """Beside a run that goes on: what it pinned is taken away, what is in the store is whole, the run is exact."""
    if reason := ptrace.why_not():
        pytest.skip(reason)
    where = {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}
    out, chance = tmp_path / "out.jsonl", random.Random(11)
    handle = app_of(10_000_000, out).start(checkpoint=ps.checkpoint(tmp_path / "store", every="1h"), **where)
    until(lambda: (now := handle.status().checkpoints) is not None and now.newest)
    paths = RunPaths(handle.run_dir)
    spec = msgspec.msgpack.decode(read_checked(paths.spec, "the spec"), type=RunSpec)
    run = this_run(handle.run_dir, spec)
    nth, until_s, through = 1, time.monotonic() + KILLING_S, 0
    for life in itertools.count(1000):
        told = Told(run, str(tmp_path / "other"), 1.0, 2, life, True)
        killed = _killed_before(nth, told)
        cut.release(run.files())  # as the supervisor does
        assert not cut.holds_room(run.files())
        control = Control(paths.control, by_calls)
        assert not control.pinned
        control.close()
        store = open_store(tmp_path / "other", "told")
        assert not [v for v in verify(store, read_log(store).found) if v.problems]
        through += not killed
        nth = nth + chance.randint(1, 25) if killed else 1
        if time.monotonic() > until_s:
            break
    assert through or nth > 50
    handle.stop()
    assert lines_of(out) == list(range(len(lines_of(out))))
