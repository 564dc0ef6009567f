"""A run that has finished, and its store: nobody resumes from what is over, or begins anew what was not told."""

from __future__ import annotations

import random
import select
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from test_checkpointed_runs import Program, finish, lose_the_machine, lose_the_processes, until

from penstock.checkpoints.history import newest_first, read_log
from penstock.checkpoints.stores import open_store

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
    import glob, os, random, signal, sys, time
    import penstock as ps
    from penstock.connectors import files
    from penstock.engine.handle import Handle

    ROWS, SLOW_S = int(sys.argv[1]), float(sys.argv[2])

    def numbers():
        for x in range(ROWS):
            if SLOW_S and x % 100 == 0:
                time.sleep(SLOW_S)
            yield x

    def tag(x):
        if x == ROWS - 1 and "store goes" in sys.argv:
            while len(glob.glob("store/lost/log/*")) < 2:  # a claim and a checkpoint
                time.sleep(0.01)
            os.rename("store", "away")
            open("store", "w").close()
        return {"id": x, "r": random.random()}

    def die(handle, ended):
        os.kill(os.getpid(), signal.SIGKILL)

    if "dies before it returns" in sys.argv:
        Handle._tell_of_the_end = die

    app = ps.Pipeline("lost")
    rows = app.source(numbers, name="ingest").stage("tag", workers=2, max_restarts="100000/m").map(tag)
    rows.sink(files.json_lines("out.jsonl"), name="store")
    if __name__ == "__main__":
        store = ps.checkpoint("store", every="50ms") if "store" in sys.argv else None
        report = app.run(run_dir="run", state_dir="state", checkpoint=store, fresh="fresh" in sys.argv)
        print(report.outcome, flush=True)
"""


def require_exact(program: Program) -> None:
    assert sorted(program.ids().elements()) == list(range(program.rows))


def in_progress(folder: Path) -> list[int]:
    return [manifest.number for manifest in newest_first(open_store(str(folder / "store"), "lost"))]


@pytest.mark.parametrize("state_survives", [True, False])
def test_a_run_whose_machine_is_lost_between_its_end_and_its_report_gives_the_report_again(
    tmp_path: Path, state_survives: bool
) -> None:
    program = Program(tmp_path, 3000, "store", slow_s=0.0, program=PROGRAM)
    process = program.start("dies before it returns")
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    shutil.rmtree(tmp_path / "run")
    if not state_survives:
        shutil.rmtree(tmp_path / "state", ignore_errors=True)
    before = (tmp_path / "out.jsonl").read_bytes()
    assert "resumes from checkpoint" in finish(program.start())
    assert (tmp_path / "out.jsonl").read_bytes() == before
    require_exact(program)
    assert in_progress(tmp_path) == []
    assert read_log(open_store(str(tmp_path / "store"), "lost")).manifests  # `--from` finds them
    process = program.start()
    _, err = process.communicate(timeout=200)
    assert "OutputExists" in err  # it begins again, as any run of a finished pipeline


def test_a_loop_of_losses_and_resumes_ends_with_every_row_once(tmp_path: Path) -> None:
    """The machine is lost again and again, the more often the nearer the end is."""
    program, chance = Program(tmp_path, 4000, "store", slow_s=0.005, program=PROGRAM), random.Random(5)
    out, whole = tmp_path / "out.jsonl", 4000 * 40
    for share in (0.2, 0.6, 0.9, 0.98, 1.0):
        process = program.start()
        until(lambda process=process, share=share: process.poll() is not None or (
            program.newest() and out.exists() and out.stat().st_size > share * whole
        ))
        select.select([], [], [], chance.random() * 0.2)
        if process.poll() is not None:
            break
        if program.run_dir is not None:
            with suppress(AssertionError, ProcessLookupError):  # it went by itself
                lose_the_machine(program, process)
    if process.poll() == 0:
        finish(process)
    else:
        process.communicate()
        if in_progress(tmp_path):  # else it was lost when the store knew of the end, and the program was not told yet
            finish(program.start())
    require_exact(program)
    assert in_progress(tmp_path) == []


def test_a_store_that_cannot_be_told_of_the_end_is_not_resumed_from_on_this_machine(tmp_path: Path) -> None:
    program = Program(tmp_path, 3000, "store", slow_s=0.05, program=PROGRAM)
    err = finish(program.start("store goes"))
    assert "cannot be told" in err
    (tmp_path / "store").unlink()
    (tmp_path / "away").rename(tmp_path / "store")
    assert in_progress(tmp_path)
    (tmp_path / "out.jsonl").unlink()
    err = finish(program.start())
    assert "is passed over: a run has finished since" in err
    require_exact(program)
    assert in_progress(tmp_path) == []
    assert not (tmp_path / "state" / "stores").exists()


def test_a_run_without_the_store_that_finishes_makes_its_checkpoints_those_of_a_run_that_is_over(
    tmp_path: Path,
) -> None:
    program = Program(tmp_path, 20_000, "store", slow_s=0.1, program=PROGRAM)
    process = program.start()
    until(program.newest)
    lose_the_machine(program, process)
    (tmp_path / "out.jsonl").unlink()
    program.options, program.slow_s = (), 0.0
    assert "resumes" not in finish(program.start())
    (tmp_path / "out.jsonl").unlink()
    program.options = ("store",)
    assert "is passed over: a run has finished since" in finish(program.start())
    require_exact(program)


def test_where_a_run_stood_is_forgotten_once_the_next_one_has_a_checkpoint(tmp_path: Path) -> None:
    """Their clocks need not agree which of the two is newer."""
    program = Program(tmp_path, 20_000, "store", slow_s=0.1, program=PROGRAM)
    positions = tmp_path / "state" / "positions"
    process = program.start()
    until(lambda: (tmp_path / "out.jsonl").exists() and (tmp_path / "out.jsonl").stat().st_size > 1000)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)
    assert list(positions.iterdir())
    process = program.start()
    until(lambda: program.newest() and not positions.exists())
    lose_the_machine(program, process)
    program.slow_s = 0.0
    assert "resumes from checkpoint" in finish(program.start())
    require_exact(program)


def test_a_fresh_run_that_is_lost_at_once_is_not_followed_by_what_it_had_discarded(tmp_path: Path) -> None:
    program = Program(tmp_path, 20_000, "store", slow_s=0.1, program=PROGRAM)
    process = program.start()
    until(program.newest)
    lose_the_machine(program, process)
    assert in_progress(tmp_path)
    (tmp_path / "out.jsonl").unlink()
    process = program.start("fresh")
    until(lambda: (tmp_path / "out.jsonl").exists())
    lose_the_processes(program, process)
    assert read_log(open_store(str(tmp_path / "store"), "lost")).over > 0
